# meta_data.json -> shell assignments: id, name, keys, password_login. A parser for all of JSON, keeping only what is asked for.
# Ends with status 1 when the text is no JSON. Nothing of the text reaches the shell unquoted.

function quote(text) { gsub(/'/, "'\\''", text); return "'" text "'" }

function utf8(code) {
    if (code < 128) return sprintf("%c", code)
    if (code < 2048) return sprintf("%c%c", 192 + int(code / 64), 128 + code % 64)
    return sprintf("%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64)
}

function hex(digits,   i, value) {
    for (i = 1; i <= length(digits); i++) value = value * 16 + index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
    return value
}

function plain(token,   out, at, c) { # a JSON string without its quotes and escapes
    token = substr(token, 2, length(token) - 2)
    while ((at = index(token, "\\"))) {
        out = out substr(token, 1, at - 1)
        c = substr(token, at + 1, 1)
        token = substr(token, at + 2)
        if (c == "n") out = out "\n"
        else if (c == "t") out = out "\t"
        else if (c == "r" || c == "b" || c == "f") out = out ""
        else if (c == "u") { out = out utf8(hex(substr(token, 1, 4))); token = substr(token, 5) }
        else out = out c
    }
    return out token
}

function keep(depth, value,   top) {
    top = key[1]
    if (depth == 1 && top == "uuid") id = value
    else if (depth == 1 && top == "hostname") name = value
    else if (depth == 1 && top == "name" && name == "") name = value
    else if (depth == 2 && top == "public_keys") { sub(/\n+$/, "", value); keys = keys (keys == "" ? "" : "\n") value }
    else if (depth == 2 && top == "meta" && key[2] == "pileus:password_login") password_login = tolower(value)
}

function fail() { bad = 1; exit 1 }

{ text = text $0 "\n" }

END {
    if (bad) exit 1
    depth = 0
    while (match(text, /^[ \t\r\n]*("([^"\\]|\\.)*"|[][{}:,]|[-+.0-9A-Za-z]+)/)) {
        token = substr(text, 1, RLENGTH)
        text = substr(text, RLENGTH + 1)
        sub(/^[ \t\r\n]+/, "", token)
        c = substr(token, 1, 1)
        if (c == "{" || c == "[") { depth++; kind[depth] = c; expect[depth] = (c == "{") ? "key" : "value"; if (c == "[") key[depth] = 0 }
        else if (c == "}" || c == "]") { if (depth-- < 1) fail() }
        else if (c == ":") expect[depth] = "value"
        else if (c == ",") { if (kind[depth] == "{") expect[depth] = "key"; else key[depth]++ }
        else if (depth == 0) fail()
        else if (expect[depth] == "key") key[depth] = plain(token)
        else keep(depth, c == "\"" ? plain(token) : token)
    }
    if (depth != 0 || text !~ /^[ \t\r\n]*$/ || id == "") exit 1
    print "id=" quote(id); print "name=" quote(name); print "keys=" quote(keys); print "password_login=" quote(password_login)
}
