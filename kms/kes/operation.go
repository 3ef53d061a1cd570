package kes

import (
	"net/http"
	"strings"

	"github.com/objseal/objseal/kms"
)

// operation is what a call asks of a server. Together with the status of the
// answer it decides the kind of an error.
type operation struct {
	method string
	path   string // a name follows if it ends in a slash

	badRequest error // what a 400 in KES's form means, nil for nothing special
	notFound   error // likewise a 404
	cannot     int   // a status that says that server or key cannot do that
	once       bool  // a second call answers otherwise than the first
}

// accept returns the media types of the answer.
func (op operation) accept() string {
	switch {
	case op.path == opMetrics.path:
		return "text/plain;version=0.0.4, text/plain;q=0.5"
	case strings.HasPrefix(op.path, "/v1/log/"):
		return "application/x-ndjson, application/json"
	}
	return "application/json"
}

// The routes of KES spec section 1.2. POST stands for PUT: older servers know
// nothing else, newer ones take both (KES spec sections 1.1 and 1.8).
var (
	opVersion = operation{method: http.MethodGet, path: "/version"}
	opReady   = operation{method: http.MethodGet, path: "/v1/ready"}
	opStatus  = operation{method: http.MethodGet, path: "/v1/status"}
	opMetrics = operation{method: http.MethodGet, path: "/v1/metrics"}
	opAPIs    = operation{method: http.MethodGet, path: "/v1/api"}

	opCreate   = operation{method: http.MethodPost, path: "/v1/key/create/", badRequest: kms.ErrKeyExists, once: true}
	opImport   = operation{method: http.MethodPost, path: "/v1/key/import/", badRequest: kms.ErrKeyExists, cannot: http.StatusNotAcceptable, once: true}
	opDescribe = operation{method: http.MethodGet, path: "/v1/key/describe/", notFound: kms.ErrKeyNotFound}
	opDelete   = operation{method: http.MethodDelete, path: "/v1/key/delete/", notFound: kms.ErrKeyNotFound, once: true}
	opList     = operation{method: http.MethodGet, path: "/v1/key/list/"}
	opGenerate = operation{method: http.MethodPost, path: "/v1/key/generate/", notFound: kms.ErrKeyNotFound}
	opEncrypt  = operation{method: http.MethodPost, path: "/v1/key/encrypt/", notFound: kms.ErrKeyNotFound}
	opDecrypt  = operation{method: http.MethodPost, path: "/v1/key/decrypt/", badRequest: kms.ErrNotAuthentic, notFound: kms.ErrKeyNotFound}
	opHMAC     = operation{method: http.MethodPost, path: "/v1/key/hmac/", notFound: kms.ErrKeyNotFound, cannot: http.StatusConflict}

	opDescribePolicy   = operation{method: http.MethodGet, path: "/v1/policy/describe/", notFound: ErrPolicyNotFound}
	opReadPolicy       = operation{method: http.MethodGet, path: "/v1/policy/read/", notFound: ErrPolicyNotFound}
	opListPolicies     = operation{method: http.MethodGet, path: "/v1/policy/list/"}
	opDescribeIdentity = operation{method: http.MethodGet, path: "/v1/identity/describe/", notFound: ErrIdentityNotFound}
	opListIdentities   = operation{method: http.MethodGet, path: "/v1/identity/list/"}
	opDescribeSelf     = operation{method: http.MethodGet, path: "/v1/identity/self/describe", notFound: ErrIdentityNotFound}

	opAuditLog = operation{method: http.MethodGet, path: "/v1/log/audit"}
	opErrorLog = operation{method: http.MethodGet, path: "/v1/log/error"}
)
