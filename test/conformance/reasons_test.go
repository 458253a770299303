package conformance

// reason is how one kind of fault ends: the ERROR's message header and the WebSocket close code.
type reason struct {
	message string
	code    int
}

// reasons is the published catalogue as clients see it. A change here is a change for them.
var reasons = map[string]reason{
	"no colon":          {"header without colon", 1002},
	"no name":           {"empty header name", 1002},
	"bad escape":        {"undefined escape in header", 1002},
	"bare CR":           {"carriage return in header", 1002},
	"NUL in headers":    {"frame ended in its headers", 1002},
	"not UTF-8":         {"header not UTF-8", 1002},
	"content-length":    {"bad content-length", 1002},
	"body too long":     {"body longer than content-length", 1002},
	"body not allowed":  {"body not allowed", 1002},
	"line too long":     {"header line too long", 1009},
	"too many headers":  {"too many headers", 1009},
	"headers too large": {"header section too large", 1009},
	"body too large":    {"body too large", 1009},
	"frame too large":   {"frame too large", 1009},
	"frame time":        {"frame not finished in time", 1008},
	"not connected":     {"not connected", 1002},
	"already connected": {"already connected", 1002},
	"connect time":      {"no CONNECT in time", 1008},
	"version":           {"no common protocol version", 1002},
	"heart-beat header": {"bad heart-beat header", 1002},
	"heart-beat":        {"heart-beat missed", 1008},
	"credentials":       {"bad credentials", 1008},
	"login":             {"bad login name", 1008},
	"too many logins":   {"too many failed logins", 1013},
	"unchecked":         {"login could not be checked", 1013},
	"expired":           {"token expired", 1008},
	"renewal":           {"token not accepted", 1008},
	"unknown command":   {"unknown command", 1002},
	"missing header":    {"missing header", 1002},
	"bad header":        {"bad header value", 1002},
	"destination":       {"bad destination", 1008},
	"prefix":            {"unknown destination prefix", 1008},
	"forbidden":         {"not permitted", 1008},
	"duplicate id":      {"subscription id in use", 1002},
	"no subscription":   {"no such subscription", 1002},
	"duplicate tx":      {"transaction already begun", 1002},
	"no tx":             {"no such transaction", 1002},
	"tx limit":          {"too many transactions", 1008},
	"tx bytes":          {"transaction too large", 1009},
	"subscriptions":     {"too many subscriptions", 1008},
	"wildcards":         {"too many wildcard subscriptions", 1008},
	"tx frames":         {"too many frames in transactions", 1008},
	"tx time":           {"transaction open for too long", 1008},
	"queues":            {"too many queues", 1013},
	"connections":       {"too many connections", 1013},
	"address":           {"too many connections of one address", 1013},
	"user":              {"too many connections of one user", 1013},
	"connects":          {"too many connects", 1013},
}
