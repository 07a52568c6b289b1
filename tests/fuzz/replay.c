/* Runs a fuzz target over files, where there is no fuzzer: the corpus in make check. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Memory of the input's own length, so that a sanitizer sees a byte beyond it. */
static int replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
		perror(path);
		return 1;
	}
	long len = ftell(file);
	uint8_t *data = malloc(len > 0 ? (size_t)len : 1);
	rewind(file);
	if (data == NULL || len < 0 || fread(data, 1, (size_t)len, file) != (size_t)len) {
		perror(path);
		return 1;
	}
	fclose(file);
	LLVMFuzzerTestOneInput(data, (size_t)len);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = 0;
	for (int i = 1; i < argc; i++) {
		failed |= replay(argv[i]);
	}
	printf("%d inputs\n", argc - 1);
	return failed;
}
