package kms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"unicode"
	"unicode/utf8"
)

// The kinds of failure, told apart on evidence only. errors.Is finds them from
// the outermost call.
var (
	// ErrKeyNotFound: the backend answered, and has no key of that name.
	ErrKeyNotFound = errors.New("key not found")
	// ErrKeyExists: CreateKey met a key of that name.
	ErrKeyExists = errors.New("key already exists")
	// ErrNotAuthentic: wrong key, wrong associated data or a damaged
	// ciphertext; a key server answers the same to all three.
	ErrNotAuthentic = errors.New("ciphertext is not authentic")
	// ErrUnreachable: no answer, or none within the time allowed.
	ErrUnreachable = errors.New("key server is unreachable")
	// ErrNotPermitted: the key server or the authorisation hook said no.
	ErrNotPermitted = errors.New("not permitted")
	// ErrUnsupported: the backend, or this generation of it, cannot do that.
	ErrUnsupported = errors.New("not supported by this key backend")
	// ErrInvalidKeyID: no key can have that name.
	ErrInvalidKeyID = errors.New("invalid key name")
	// ErrKeyDamaged: there is something under that name, and it is no key.
	ErrKeyDamaged = errors.New("key is damaged")
	// ErrKeySize: a data key does not have DataKeySize bytes.
	ErrKeySize = errors.New("a data key has 32 bytes")
	// ErrNotConfigured: there is neither a key server nor a key.
	ErrNotConfigured = errors.New("no key server and no key is configured")
)

var errIncompleteAnswer = errors.New("the backend's answer lacks the data key or its ciphertext")

// Operation names what a Client was asked to do. The text completes "failed to".
type Operation string

const (
	OpGenerateKey Operation = "generate a data key"
	OpDecrypt     Operation = "decrypt a data key"
	OpEncrypt     Operation = "encrypt"
	OpCreateKey   Operation = "create key"
	OpImportKey   Operation = "import key"
	OpDeleteKey   Operation = "delete key"
	OpDescribeKey Operation = "describe key"
	OpListKeys    Operation = "list keys"
	OpStatus      Operation = "read the status"
)

// Error is what every Client method returns on failure.
type Error struct {
	Op    Operation
	KeyID string // as asked for; empty for the default key and for Status
	Err   error  // wraps one of the sentinels wherever the kind is known
}

func (e *Error) Error() string {
	switch {
	case e.KeyID == "":
		return fmt.Sprintf("failed to %s: %v", e.Op, e.Err)
	case e.Op == OpGenerateKey, e.Op == OpDecrypt, e.Op == OpEncrypt:
		return fmt.Sprintf("failed to %s with key %s: %v", e.Op, QuoteKeyID(e.KeyID), e.Err)
	default:
		return fmt.Sprintf("failed to %s %s: %v", e.Op, QuoteKeyID(e.KeyID), e.Err)
	}
}

func (e *Error) Unwrap() error { return e.Err }

var sentinels = []error{ErrKeyNotFound, ErrKeyExists, ErrNotAuthentic, ErrUnreachable, ErrNotPermitted,
	ErrUnsupported, ErrInvalidKeyID, ErrKeyDamaged, ErrKeySize, ErrNotConfigured, context.Canceled}

// newError classifies what a backend returned, once and for all backends.
func newError(op Operation, keyID string, err error) *Error {
	var already *Error
	if errors.As(err, &already) {
		return already
	}
	known := false
	for _, s := range sentinels {
		known = known || errors.Is(err, s)
	}
	if !known && isNetworkFailure(err) {
		err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return &Error{Op: op, KeyID: keyID, Err: err}
}

func isNetworkFailure(err error) bool {
	var n net.Error
	return errors.As(err, &n) && !isErrno(n) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// isErrno reports whether an error is the operating system's own, a number or a
// text: it has the methods of a net.Error also where it is about a file. Those of
// a network are in a net.OpError.
func isErrno(err error) bool {
	kind := reflect.TypeOf(err).Kind()
	return kind == reflect.Uintptr || kind == reflect.String
}

// refusal is a no of the authorisation hook: of kind ErrNotPermitted, and
// still the hook's own error.
type refusal struct{ err error }

func (r *refusal) Error() string   { return ErrNotPermitted.Error() + ": " + r.err.Error() }
func (r *refusal) Unwrap() []error { return []error{ErrNotPermitted, r.err} }

// lengthError: no backend writes a ciphertext of that length.
type lengthError struct{ n int }

func (e *lengthError) Error() string {
	return fmt.Sprintf("%v: it has %d bytes, 1 to %d are possible", ErrNotAuthentic, e.n, MaxCiphertext)
}
func (e *lengthError) Unwrap() error { return ErrNotAuthentic }

// maxKeyID bounds key ids of every backend; an AWS ARN has about 80 bytes.
const maxKeyID = 512

// checkKeyID refuses what no backend can mean. What a name may be made of is
// the backend's to say: a built-in key's may hold almost anything.
func checkKeyID(id string) error {
	switch {
	case len(id) > maxKeyID:
		return fmt.Errorf("%w: it has %d bytes, %d are possible", ErrInvalidKeyID, len(id), maxKeyID)
	case !utf8.ValidString(id):
		return fmt.Errorf("%w: it is not UTF-8", ErrInvalidKeyID)
	}
	for _, r := range id {
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: it holds a control character", ErrInvalidKeyID)
		}
	}
	return nil
}

// ValidName reports whether name can be the name of a key on a KES server or
// in its key store: 1 to 80 bytes of 0-9 A-Z a-z _ -, no - at either end, not
// just _ (KES spec section 1.1). Only such names become part of a path or URL.
func ValidName(name string) bool {
	if len(name) == 0 || len(name) > 80 || name == "_" || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	for _, c := range []byte(name) {
		if !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// QuoteKeyID returns id for a message: quoted, with everything unprintable
// escaped, and cut where a hostile one would fill the screen.
func QuoteKeyID(id string) string {
	const most = 80
	if len(id) > most {
		return fmt.Sprintf("%+q… (%d bytes)", id[:most], len(id))
	}
	return fmt.Sprintf("%q", id)
}
