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
	cause   error // for the log only; nil if the message says it all
}

func (f *failure) Error() string { return f.message }

func failf(status int, format string, args ...any) error {
	return &failure{status: status, message: fmt.Sprintf(format, args...)}
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
	errNoPolicy        = failf(http.StatusNotFound, "policy does not exist")
	errNoIdentity      = failf(http.StatusNotFound, "identity does not exist")
	errNotAuthentic    = failf(http.StatusBadRequest, "decryption failed: ciphertext is not authentic")
)

// writeError answers with a message, and logs what is not the client's fault.
// The newline is where KES servers have it.
func (s *Server) writeError(w http.ResponseWriter, err error) int {
	f := &failure{http.StatusInternalServerError, "internal server error", err}
	errors.As(err, &f)
	if f.status >= http.StatusInternalServerError {
		s.errorLog.Printf("%s: %v", f.message, f.cause)
	}
	text, err := json.Marshal(f.message)
	if err != nil {
		panic("keserver: internal error: " + err.Error())
	}
	return write(w, f.status, "application/json", fmt.Appendf(nil, "{\"message\":%s\n}", text))
}

// A plainText is a result that is not JSON.
type plainText struct {
	contentType string
	body        []byte
}

// writeResult answers with JSON and a newline, with a plainText, with the head
// of a stream, or with an empty body for nil.
func writeResult(w http.ResponseWriter, result any) int {
	switch r := result.(type) {
	case nil:
		w.WriteHeader(http.StatusOK)
		return http.StatusOK
	case plainText:
		return write(w, http.StatusOK, r.contentType, r.body)
	case *follow:
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.WriteHeader(http.StatusOK)
		return http.StatusOK
	}
	text, err := json.Marshal(result)
	if err != nil {
		panic("keserver: internal error: " + err.Error())
	}
	text = append(text, '\n')
	defer clear(text) // it may hold a data key
	return write(w, http.StatusOK, "application/json", text)
}

func write(w http.ResponseWriter, status int, contentType string, body []byte) int {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
	return status
}
