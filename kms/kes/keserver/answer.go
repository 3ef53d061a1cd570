package keserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// failure is an answer that is not success. Clients compare status and message
// byte for byte (KES spec section 1.5).
type failure struct {
	status  int
	message string
}

func (f *failure) Error() string { return f.message }

func failf(status int, format string, args ...any) error {
	return &failure{status, fmt.Sprintf(format, args...)}
}

var (
	errInsecure        = failf(http.StatusBadRequest, "insecure connection: TLS is required")
	errNoCertificate   = failf(http.StatusBadRequest, "tls: client certificate is required")
	errTwoCertificates = failf(http.StatusBadRequest, "tls: received more than one client certificate")
	errNotAllowed      = failf(http.StatusForbidden, "not authorized: insufficient permissions")
	errBody            = failf(http.StatusBadRequest, "invalid request body")
	errImportBody      = failf(http.StatusBadRequest, "invalid import key request body")
	errKeyNotFound     = failf(http.StatusNotFound, "key does not exist")
	errKeyExists       = failf(http.StatusBadRequest, "key already exists")
	errNotAuthentic    = failf(http.StatusBadRequest, "decryption failed: ciphertext is not authentic")
)

// writeError answers with a message. The newline is where KES servers have it.
func writeError(w http.ResponseWriter, err error) {
	f := &failure{http.StatusInternalServerError, "internal server error"}
	errors.As(err, &f)
	text, err := json.Marshal(f.message)
	if err != nil {
		panic("keserver: internal error: " + err.Error())
	}
	write(w, f.status, fmt.Appendf(nil, "{\"message\":%s\n}", text))
}

// writeResult answers with JSON and a newline, or with an empty body for nil.
func writeResult(w http.ResponseWriter, result any) {
	if result == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	text, err := json.Marshal(result)
	if err != nil {
		writeError(w, err)
		return
	}
	text = append(text, '\n')
	defer clear(text) // it may hold a data key
	write(w, http.StatusOK, text)
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}
