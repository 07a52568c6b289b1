#include "lib/report/sink.h"

#include <errno.h>
#include <unistd.h>

void cu_sink_init(struct cu_sink *sink, int fd)
{
	*sink = (struct cu_sink){.fd = fd};
}

void cu_sink_release(struct cu_sink *sink)
{
	cu_buf_release(&sink->buf);
}

int cu_sink_flush(struct cu_sink *sink)
{
	if (sink->fault.code == CU_OK && sink->buf.failed) {
		cu_fault_set(&sink->fault, CU_ERR_NOMEM, "no memory for the report");
	}
	if (sink->fault.code != CU_OK) {
		cu_buf_clear(&sink->buf);
		return sink->fault.code;
	}
	size_t done = 0;
	while (done < sink->buf.len) {
		ssize_t n = write(sink->fd, sink->buf.data + done, sink->buf.len - done);
		if (n >= 0) {
			done += (size_t)n;
		} else if (errno == EPIPE) {
			cu_fault_set(&sink->fault, CU_ERR_CLOSED, "the reader of the report went away");
			break;
		} else if (errno != EINTR) {
			cu_fault_set_errno(&sink->fault, errno, "writing the report");
			break;
		}
	}
	cu_buf_clear(&sink->buf);
	return sink->fault.code;
}
