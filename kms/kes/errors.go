package kes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/objseal/objseal/kms"
)

// maxErrorBody is how much of an error's body is read, in bytes.
const maxErrorBody = 64 << 10

// ResponseError is a server's answer that is not success. It unwraps to the
// kind that status and operation prove, if they prove one.
type ResponseError struct {
	Status   int    // HTTP status
	Message  string // the server's own words, cut and with control characters escaped; may be empty
	Endpoint string // https://host:port

	kind   error  // one of package kms, or nil
	detail string // what a policy would have to allow
}

func (e *ResponseError) Error() string {
	var b strings.Builder
	if e.kind != nil {
		fmt.Fprintf(&b, "%v: ", e.kind)
	}
	if e.detail != "" {
		fmt.Fprintf(&b, "%s: ", e.detail)
	}
	fmt.Fprintf(&b, "%s answers %d", e.Endpoint, e.Status)
	if e.Message != "" {
		fmt.Fprintf(&b, " (%s)", e.Message)
	}
	return b.String()
}

func (e *ResponseError) Unwrap() error { return e.kind }

func (b *Backend) responseError(e *endpoint, c call, resp *http.Response, text []byte) error {
	message, isKES := errorMessage(text)
	r := &ResponseError{
		Status:   resp.StatusCode,
		Message:  printable(message),
		Endpoint: e.String(),
		kind:     kindOf(c.op, resp.StatusCode, isKES),
	}
	if r.kind == kms.ErrNotPermitted {
		r.detail = fmt.Sprintf("the policy of identity %s does not allow %s", b.creds.Identity(), c.path())
	}
	return r
}

// errorMessage returns the message in the body of an error, and whether the
// body has the form that KES servers give it (KES spec section 1.5).
func errorMessage(text []byte) (message string, isKES bool) {
	var v struct{ Message, Error string }
	if json.Unmarshal(text, &v) != nil || v.Message == "" && v.Error == "" {
		return string(text), false
	}
	if v.Error != "" {
		return v.Error, true
	}
	return v.Message, true
}

// kindOf tells what a status means for an operation. A 400 or 404 that is not
// in KES's form is from something between: a proxy, or a server that does not
// know the path.
func kindOf(op operation, status int, isKES bool) error {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return kms.ErrNotPermitted
	case status == http.StatusNotFound && !isKES, status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented:
		return kms.ErrUnsupported
	case status == http.StatusNotFound && (op == opDescribe || op == opGenerate || op == opEncrypt || op == opDecrypt):
		return kms.ErrKeyNotFound
	case status == http.StatusBadRequest && isKES && op == opCreate:
		return kms.ErrKeyExists
	case status == http.StatusBadRequest && isKES && op == opDecrypt:
		return kms.ErrNotAuthentic
	case status >= 500:
		return kms.ErrUnreachable
	}
	return nil
}

// printable returns hostile text fit for a message: cut, and with everything
// unprintable escaped.
func printable(s string) string {
	const most = 200
	s = strings.TrimSpace(s)
	cut := len(s) > most
	if cut {
		s = s[:most]
	}
	quoted := strconv.Quote(s)
	s = strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	if cut {
		s += "…"
	}
	return s
}

// NetworkError is a try that got no whole answer from a server, of kind
// kms.ErrUnreachable, or kms.ErrNotPermitted if the server refused the
// certificate it was shown.
type NetworkError struct {
	Endpoint string // https://host:port
	Err      error

	kind error
	hint string
}

func (e *NetworkError) Error() string {
	if e.hint != "" {
		return fmt.Sprintf("%v: %s: %s: %v", e.kind, e.Endpoint, e.hint, e.Err)
	}
	return fmt.Sprintf("%v: %s: %v", e.kind, e.Endpoint, e.Err)
}

func (e *NetworkError) Unwrap() []error { return []error{e.kind, e.Err} }

var errTryTimeout = errors.New("no answer in time")

func (b *Backend) networkError(ctx context.Context, e *endpoint, err error) error {
	n := &NetworkError{Endpoint: e.String(), Err: err, kind: kms.ErrUnreachable}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		n.Err = u.Err // the rest repeats the URL
	}
	if context.Cause(ctx) == errTryTimeout {
		// Not context.DeadlineExceeded: that means the caller's.
		n.Err = fmt.Errorf("%w (%v)", errTryTimeout, b.tryTimeout)
		return n
	}
	switch alert, isAlert := remoteAlert(err); {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		n.hint = "the server's certificate is not from a known CA, its CA must be given"
	case errors.As(err, new(x509.HostnameError)):
		n.hint = "the server's certificate is for another name"
	case isAlert && refusesCertificate(alert):
		n.kind = kms.ErrNotPermitted
		n.hint = "the server does not accept the client certificate of identity " + b.creds.Identity()
	case isAlert:
		n.hint = "the server broke off the TLS handshake"
	}
	return n
}

// remoteAlert returns the code of the TLS alert that ended a connection. The
// type that crypto/tls gives it is not exported, its numbers are RFC 8446's.
func remoteAlert(err error) (code uint64, ok bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return v.Uint(), true
}

// refusesCertificate reports whether an alert is about the client's
// certificate (RFC 8446 section 6.2): bad_certificate to certificate_unknown,
// unknown_ca, access_denied, certificate_required.
func refusesCertificate(alert uint64) bool {
	return 42 <= alert && alert <= 46 || alert == 48 || alert == 49 || alert == 116
}

// contextError is for a call whose own context ended: context.Canceled, which
// tells nothing of the servers, or a deadline by which they had not answered.
func contextError(ctx context.Context, last error) error {
	switch {
	case !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return ctx.Err()
	case errors.Is(last, kms.ErrUnreachable) && errors.Is(last, context.DeadlineExceeded):
		return last
	case errors.Is(last, kms.ErrUnreachable):
		return fmt.Errorf("%w: %w", last, ctx.Err())
	}
	return fmt.Errorf("%w: %w", kms.ErrUnreachable, ctx.Err())
}

// isServerFailure reports whether another server may do better: all of kind
// ErrUnreachable, and a refused certificate.
func isServerFailure(err error) bool {
	return errors.Is(err, kms.ErrUnreachable) || errors.As(err, new(*NetworkError))
}

// isBrief reports whether a failure may be over in a second: a server that is
// being restarted or is overloaded.
func isBrief(err error) bool {
	if r := (*ResponseError)(nil); errors.As(err, &r) {
		return r.Status == http.StatusServiceUnavailable
	}
	if d := (*net.DNSError)(nil); errors.As(err, &d) && d.IsNotFound {
		return false
	}
	var op *net.OpError
	connection := errors.As(err, &op) && (op.Op == "dial" || op.Op == "read" || op.Op == "write") && !op.Timeout()
	return connection || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// wasNeverSent reports whether a failure is from before the request: the
// server cannot have done what it was asked.
func wasNeverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, new(*tls.CertificateVerificationError))
}
