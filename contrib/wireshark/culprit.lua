-- culprit's verdicts on the frames of their transactions, in Wireshark and tshark.
--
-- A post-dissector: it reads what `culprit run --format json` wrote, named by
-- the preference culprit.verdicts or by CULPRIT_VERDICTS in the environment,
-- and gives each frame of a transaction the fields of its verdict, such as
-- culprit.blame and culprit.cause. A frame is of a transaction when its
-- addresses and ports are, and its number is within those of the verdict that are
-- in the capture that is open. README.md has examples.

local proto = Proto("culprit", "culprit: who was slow")

local function name_field(name, text) return ProtoField.string("culprit." .. name, text) end
local function frame_field(name, text) return ProtoField.framenum("culprit." .. name, text, base.NONE) end
local function time_field(name, text) return ProtoField.double("culprit." .. name, text .. " (s)") end

local CAUSES = {
    "client.pause", "client.window", "client.delayed_ack", "network.rtt", "network.transfer", "network.loss",
    "network.connect", "network.mtu", "server.think", "server.pause", "server.window", "server.delayed_ack",
    "server.connect", "unknown.capture",
}

local f = {
    blame = name_field("blame", "Blame"),
    cause = name_field("cause", "Cause"),
    confidence = name_field("confidence", "Confidence"),
    slow = ProtoField.bool("culprit.slow", "Slow"),
    kind = name_field("kind", "Kind"),
    outcome = name_field("outcome", "Outcome"),
    name = name_field("name", "Name"),
    service = name_field("service", "Service"),
    rule = name_field("rule", "Rule"),
    why = name_field("why", "Why"),
    advice = name_field("advice", "Advice"),
    role = name_field("role", "This frame"),
    stream = ProtoField.uint64("culprit.stream", "Stream"),
    transaction = ProtoField.uint64("culprit.transaction", "Transaction"),
    total = time_field("total", "Time"),
    rtt = time_field("rtt", "Round trip"),
    request_first = frame_field("request.first_frame", "Request begins in"),
    request_last = frame_field("request.last_frame", "Request ends in"),
    request_acked = frame_field("request.acked_frame", "Request acknowledged in"),
    response_first = frame_field("response.first_frame", "Answer begins in"),
    response_last = frame_field("response.last_frame", "Answer ends in"),
}
local ledger = {}
local all = {}
for _, field in pairs(f) do all[#all + 1] = field end
for _, cause in ipairs(CAUSES) do
    ledger[cause] = time_field("ledger." .. cause, cause)
    all[#all + 1] = ledger[cause]
end
proto.fields = all

local slow_expert = ProtoExpert.new("culprit.slow.expert", "Slow", expert.group.SEQUENCE, expert.severity.WARN)
proto.experts = { slow_expert }

proto.prefs.verdicts = Pref.string("Verdicts", os.getenv("CULPRIT_VERDICTS") or "",
    "JSON Lines written by culprit run --format json")
proto.prefs.capture = Pref.string("Capture", os.getenv("CULPRIT_CAPTURE") or "",
    "When the verdicts are of several captures: the name of this one, as culprit was given it")

local field_of = {
    ip_src = Field.new("ip.src"), ip_dst = Field.new("ip.dst"),
    ipv6_src = Field.new("ipv6.src"), ipv6_dst = Field.new("ipv6.dst"),
    port_src = Field.new("tcp.srcport"), port_dst = Field.new("tcp.dstport"),
}

-- JSON -----------------------------------------------------------------------

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function utf8_of(code)
    if code < 0x80 then return string.char(code) end
    local tail = string.char(0x80 + code % 64)
    if code < 0x800 then return string.char(0xC0 + math.floor(code / 64)) .. tail end
    tail = string.char(0x80 + math.floor(code / 64) % 64) .. tail
    if code < 0x10000 then return string.char(0xE0 + math.floor(code / 4096)) .. tail end
    return string.char(0xF0 + math.floor(code / 262144), 0x80 + math.floor(code / 4096) % 64) .. tail
end

-- The character of the \u escape at position at, and the position behind it: two escapes are one above U+FFFF (RFC 8259,
-- section 7), and half of such a pair is none.
local function unescape(text, at)
    local high, stop = text:match("^\\u(%x%x%x%x)()", at)
    local code = tonumber(high or error("bad escape", 0), 16)
    if code < 0xD800 or code > 0xDFFF then return utf8_of(code), stop end
    local low, behind = text:match("^\\u([Dd][C-Fc-f]%x%x)()", stop)
    if code > 0xDBFF or not low then return utf8_of(0xFFFD), stop end
    return utf8_of(0x10000 + (code - 0xD800) * 1024 + tonumber(low, 16) - 0xDC00), behind
end

-- The value at position at of text, and the position behind it. An error ends the reading of the line.
local function parse(text, at)
    at = text:find("%S", at) or error("ends early", 0)
    local c = text:sub(at, at)
    if c == '"' then
        local parts = {}
        at = at + 1
        while true do
            local plain, stop = text:match('^([^"\\]*)()', at)
            parts[#parts + 1] = plain
            local what = text:sub(stop, stop)
            if what == '"' then return table.concat(parts), stop + 1 end
            local escape = what == "\\" and text:sub(stop + 1, stop + 1) or ""
            if escape == "" then error("string does not end", 0) end
            if escape == "u" then
                parts[#parts + 1], at = unescape(text, stop)
            else
                parts[#parts + 1] = ESCAPES[escape] or escape
                at = stop + 2
            end
        end
    elseif c == "{" or c == "[" then
        local result, close = {}, c == "{" and "}" or "]"
        at = text:find("%S", at + 1) or error("ends early", 0)
        while text:sub(at, at) ~= close do
            local key = #result + 1
            if c == "{" then
                key, at = parse(text, at)
                at = text:match("^%s*:()", at) or error("no colon", 0)
            end
            result[key], at = parse(text, at)
            at = text:match("^%s*,?%s*()", at)
            if at > #text then error("ends early", 0) end
        end
        return result, at + 1
    end
    local word, stop = text:match("^([%w+.-]+)()", at)
    if word == "true" then return true, stop end
    if word == "false" then return false, stop end
    if word == "null" then return nil, stop end
    return tonumber(word or "") or error("no value", 0), stop
end

-- Verdicts -------------------------------------------------------------------

-- An address as the hexadecimal digits of its bytes, as it is in the packet.
local function address_bytes(text)
    local a, b, c, d = text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
    if a then return string.format("%02x%02x%02x%02x", a, b, c, d) end
    text = text:gsub("%%.*", ""):gsub("(%d+)%.(%d+)%.(%d+)%.(%d+)$", function(w, x, y, z)
        return string.format("%x:%x", w * 256 + x, y * 256 + z)
    end)
    local head, tail = text:match("^(.-)::(.*)$")
    local function groups(part)
        local out = {}
        for group in (part or ""):gmatch("%x+") do out[#out + 1] = string.format("%04x", tonumber(group, 16)) end
        return out
    end
    local first, last = groups(head or text), groups(tail)
    return table.concat(first) .. string.rep("0000", 8 - #first - #last) .. table.concat(last)
end

local verdicts = {} -- by both ends: a list in order of first frame

local function key_of(address_a, port_a, address_b, port_b)
    local a, b = address_a .. ":" .. port_a, address_b .. ":" .. port_b
    return a < b and a .. " " .. b or b .. " " .. a
end

-- Takes the frames of other captures than the one that is open from a verdict. The capture of a frame is said beside it,
-- where it is another than the verdict's.
local function drop_elsewhere(verdict)
    local function here(frame, file)
        file = file or verdict.file
        return (not file or file == proto.prefs.capture) and frame or nil
    end
    for _, part in ipairs({ verdict.request or {}, verdict.response or {} }) do
        part.first_frame = here(part.first_frame, part.first_file)
        part.last_frame = here(part.last_frame, part.last_file)
        part.acked_frame = here(part.acked_frame, part.acked_file)
    end
    for cause, range in pairs(verdict.ledger_frames or {}) do
        local files = (verdict.ledger_files or {})[cause] or {}
        verdict.ledger_frames[cause] = { here(range[1], files[1]), here(range[2], files[2]) }
    end
    for _, event in ipairs(verdict.events or {}) do event.frame = here(event.frame, event.file) end
end

-- The first and last of the frames that a verdict names.
local function span_of(verdict)
    local first, last = math.huge, 0
    local function cite(frame)
        if frame then first, last = math.min(first, frame), math.max(last, frame) end
    end
    for _, part in ipairs({ verdict.request or {}, verdict.response or {} }) do
        cite(part.first_frame)
        cite(part.last_frame)
        cite(part.acked_frame)
    end
    for _, range in pairs(verdict.ledger_frames or {}) do
        cite(range[1])
        cite(range[2])
    end
    for _, event in ipairs(verdict.events or {}) do cite(event.frame) end
    return first, last
end

local function add(verdict)
    -- What has no ends cannot be found by them.
    if not (verdict.client and verdict.client_port and verdict.server and verdict.server_port) then return end
    drop_elsewhere(verdict)
    verdict.first, verdict.last = span_of(verdict)
    if verdict.first > verdict.last then return end
    local key = key_of(address_bytes(verdict.client), verdict.client_port, address_bytes(verdict.server), verdict.server_port)
    verdicts[key] = verdicts[key] or {}
    table.insert(verdicts[key], verdict)
end

function proto.init()
    verdicts = {}
    if proto.prefs.verdicts == "" then return end
    local file, problem = io.open(proto.prefs.verdicts)
    if not file then
        report_failure("culprit: " .. problem)
        return
    end
    local number, of_several = 0, false
    for line in file:lines() do
        number = number + 1
        if line:find('^{"record":"verdict"') then
            local ok, reason = pcall(function()
                local verdict = parse(line, 1)
                of_several = of_several or verdict.file ~= nil
                add(verdict)
            end)
            if not ok then
                report_failure(string.format("culprit: %s: line %d: %s", proto.prefs.verdicts, number, reason))
            end
        end
    end
    file:close()
    if of_several and proto.prefs.capture == "" then
        report_failure("culprit: " .. proto.prefs.verdicts .. ": of several captures: the preference Capture says which is open")
    end
end

-- Frames ---------------------------------------------------------------------

local function last_of(getter)
    local values = { getter() }
    return values[#values]
end

-- The ends of the innermost IP header, and the ports of TCP; nil when there is none.
local function key_of_frame()
    local port_src, port_dst = last_of(field_of.port_src), last_of(field_of.port_dst)
    if not port_src then return nil end
    local src, dst = last_of(field_of.ip_src), last_of(field_of.ip_dst)
    local src6, dst6 = last_of(field_of.ipv6_src), last_of(field_of.ipv6_dst)
    if src6 and (not src or src6.offset > src.offset) then src, dst = src6, dst6 end
    if not src then return nil end
    local function bytes(info) return info.range:bytes():tohex(true) end
    return key_of(bytes(src), port_src.value, bytes(dst), port_dst.value)
end

local function role_of(verdict, frame)
    local roles = {}
    local function within(part, text)
        local first, last = part and (part.first_frame or part.last_frame), part and (part.last_frame or part.first_frame)
        if first and frame >= first and frame <= last then
            roles[#roles + 1] = text
        end
    end
    within(verdict.request, "request")
    within(verdict.response, "answer")
    if verdict.request and verdict.request.acked_frame == frame then roles[#roles + 1] = "acknowledges the request" end
    for _, event in ipairs(verdict.events or {}) do
        if event.frame == frame then roles[#roles + 1] = (event.kind:gsub("_", " ")) .. " from the " .. event.from end
    end
    local range = (verdict.ledger_frames or {})[verdict.cause]
    if range and range[1] == frame then roles[#roles + 1] = "the longest " .. verdict.cause .. " begins" end
    if range and range[2] == frame then roles[#roles + 1] = "the longest " .. verdict.cause .. " ends" end
    return #roles > 0 and table.concat(roles, ", ") or nil
end

local function show(verdict, frame, tree)
    local title = string.format("culprit: %s, %s", verdict.blame, verdict.cause)
    if verdict.blame == "none" then title = "culprit: a normal " .. verdict.kind end
    local branch = tree:add(proto, title)
    local function put(field, value)
        if value ~= nil then branch:add(field, value):set_generated() end
    end
    for _, name in ipairs({ "blame", "cause", "confidence", "slow", "kind", "outcome", "name", "service", "rule", "why", "advice" }) do
        put(f[name], verdict[name])
    end
    put(f.role, role_of(verdict, frame))
    put(f.stream, UInt64.new(verdict.stream))
    put(f.transaction, UInt64.new(verdict.transaction))
    put(f.total, verdict.total_ns / 1e9)
    put(f.rtt, verdict.rtt_ns and verdict.rtt_ns / 1e9)
    for _, cause in ipairs(CAUSES) do
        local ns = (verdict.ledger or {})[cause]
        put(ledger[cause], ns and ns / 1e9)
    end
    local request, response = verdict.request or {}, verdict.response or {}
    put(f.request_first, request.first_frame)
    put(f.request_last, request.last_frame)
    put(f.request_acked, request.acked_frame)
    put(f.response_first, response.first_frame)
    put(f.response_last, response.last_frame)
    -- Once a transaction, in the list of expert information.
    if verdict.slow and frame == (response.last_frame or request.last_frame) then
        branch:add_proto_expert_info(slow_expert,
            string.format("%.3f s, %s: %s", verdict.total_ns / 1e9, verdict.blame, verdict.why or verdict.cause))
    end
end

function proto.dissector(_, pinfo, tree)
    if next(verdicts) == nil then return end
    local key = key_of_frame()
    for _, verdict in ipairs(key and verdicts[key] or {}) do
        if pinfo.number >= verdict.first and pinfo.number <= verdict.last then show(verdict, pinfo.number, tree) end
    end
end

register_postdissector(proto)
