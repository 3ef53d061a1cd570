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
	"time"

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

	kinds  []error // the first says what it is for the caller; may be empty
	detail string  // what a policy would have to allow
}

// ErrKeyStore says that a server answers and cannot use its key store: that is
// down, or holds under the key's name what the server cannot read. It comes
// beside kms.ErrUnreachable.
var ErrKeyStore = errors.New("the key server answers, its key store does not")

func (e *ResponseError) Error() string {
	var b strings.Builder
	if len(e.kinds) > 0 {
		fmt.Fprintf(&b, "%v: ", e.kinds[len(e.kinds)-1]) // the most special one
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

func (e *ResponseError) Unwrap() []error { return e.kinds }

func (b *Backend) responseError(e *endpoint, c call, resp *http.Response, text []byte) error {
	message, isKES := errorMessage(text)
	r := &ResponseError{
		Status:   resp.StatusCode,
		Message:  printable(message),
		Endpoint: e.String(),
		kinds:    kindsOf(c.op, resp.StatusCode, isKES),
	}
	if errors.Is(r, kms.ErrNotPermitted) {
		r.detail = fmt.Sprintf("no policy lets identity %s use %s", b.creds.Identity(), c.path())
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

// kindsOf tells what a status means for an operation. A 400, 404, 502 or 504
// that is not in KES's form is from something between: a proxy, or a server that
// does not know the path.
func kindsOf(op operation, status int, isKES bool) []error {
	var kind error
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		kind = kms.ErrNotPermitted
	case status == http.StatusNotFound && !isKES, status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented, status == op.cannot:
		kind = kms.ErrUnsupported
	case status == http.StatusNotFound:
		kind = op.notFound
	case status == http.StatusBadRequest && isKES:
		kind = op.badRequest
	case isKES && (status == http.StatusBadGateway || status == http.StatusGatewayTimeout):
		return []error{kms.ErrUnreachable, ErrKeyStore}
	case status >= 500:
		kind = kms.ErrUnreachable
	}
	if kind == nil {
		return nil
	}
	return []error{kind}
}

// printable returns hostile text fit for a message: cut, and with everything
// unprintable escaped.
func printable(s string) string { return printableTo(s, 200) }

func printableTo(s string, most int) string {
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

	kind   error
	hint   string
	expiry error // an *ExpiryError, or nil
}

func (e *NetworkError) Error() string {
	if e.hint != "" {
		return fmt.Sprintf("%v: %s: %s: %v", e.kind, e.Endpoint, e.hint, e.Err)
	}
	return fmt.Sprintf("%v: %s: %v", e.kind, e.Endpoint, e.Err)
}

func (e *NetworkError) Unwrap() []error {
	if e.expiry != nil {
		return []error{e.kind, e.expiry, e.Err}
	}
	return []error{e.kind, e.Err}
}

// Not context.DeadlineExceeded: that means the caller's.
var (
	errTryTimeout  = errors.New("no answer in time")
	errCallTimeout = errors.New("no answer in the time of a call")
)

func (b *Backend) networkError(ctx context.Context, e *endpoint, err error, start time.Time) error {
	n := &NetworkError{Endpoint: e.String(), Err: err, kind: kms.ErrUnreachable}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		n.Err = u.Err // the rest repeats the URL
	}
	if cause := context.Cause(ctx); cause == errTryTimeout || cause == errCallTimeout {
		n.Err = fmt.Errorf("%w (%v)", cause, time.Since(start).Round(time.Millisecond))
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
		if end := b.creds.NotAfter(); !end.IsZero() && time.Now().After(end) {
			n.expiry = &ExpiryError{b.creds.Identity(), end, 0}
			n.hint += ", which has expired on " + end.UTC().Format(time.DateOnly)
		} else if alert == alertCertificateExpired {
			n.hint += ", and says that it, or its issuer's, has expired or is not valid yet"
		}
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

const alertCertificateExpired = 45

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
