package kes

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// The kinds of *ExpiryError.
var (
	// ErrCertificateExpires: the client's certificate expires soon.
	ErrCertificateExpires = errors.New("the client certificate expires soon")
	// ErrCertificateExpired: it has expired. Servers that verify certificates
	// refuse it; those that know clients by their key only, do not.
	ErrCertificateExpired = errors.New("the client certificate has expired")
)

// expirySteps are how long before a certificate expires it is told.
var expirySteps = []time.Duration{30 * day, 7 * day, day, 0}

const day = 24 * time.Hour

// ExpiryError tells until when the client's certificate is good. It is a
// warning in the Warning of kms.Status and for [Options.OnExpiry], and in the
// error of a server that refused the certificate the reason why.
type ExpiryError struct {
	Identity string
	NotAfter time.Time

	left time.Duration
}

func (e *ExpiryError) Error() string {
	date := e.NotAfter.UTC().Format(time.DateOnly)
	if e.left <= 0 {
		return fmt.Sprintf("%v: that of identity %s, on %s", ErrCertificateExpired, e.Identity, date)
	}
	return fmt.Sprintf("%v: that of identity %s, on %s, in %s", ErrCertificateExpires, e.Identity, date, inDays(e.left))
}

func (e *ExpiryError) Unwrap() error {
	if e.left <= 0 {
		return ErrCertificateExpired
	}
	return ErrCertificateExpires
}

func inDays(d time.Duration) string {
	switch n := int(d / day); n {
	case 0:
		return "less than a day"
	case 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}

// CheckExpiry returns an *ExpiryError if the certificate of creds has expired
// or does within 30 days, else nil.
func CheckExpiry(creds Credentials, now time.Time) error {
	if e, _ := expiryOf(creds, now); e != nil {
		return e
	}
	return nil
}

// expiryOf also returns how many of the steps are reached.
func expiryOf(creds Credentials, now time.Time) (e *ExpiryError, steps int) {
	end := creds.NotAfter()
	if end.IsZero() {
		return nil, 0
	}
	left := end.Sub(now)
	for _, step := range expirySteps {
		if left <= step {
			steps++
		}
	}
	if steps == 0 {
		return nil, 0
	}
	return &ExpiryError{creds.Identity(), end, left}, steps
}

// expiryWatch tells each step once for a certificate.
type expiryWatch struct {
	tell func(*ExpiryError)

	next atomic.Int64 // when to look again, in Unix nanoseconds

	mu    sync.Mutex
	of    time.Time // the certificate's NotAfter
	steps int       // how many were told
}

// look tells what is to be told.
func (w *expiryWatch) look(creds Credentials, now time.Time) {
	if w.tell == nil {
		return
	}
	next := w.next.Load()
	if now.UnixNano() < next || !w.next.CompareAndSwap(next, now.Add(time.Minute).UnixNano()) {
		return
	}
	e, steps := expiryOf(creds, now)
	if e == nil {
		return
	}
	w.mu.Lock()
	isNew := !e.NotAfter.Equal(w.of) || steps > w.steps
	if isNew {
		w.of, w.steps = e.NotAfter, steps
	}
	w.mu.Unlock()
	if isNew {
		w.tell(e)
	}
}
