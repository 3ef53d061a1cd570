package kmsenv

import "errors"

// The kinds of *Error, beside kms.ErrNotConfigured and kms.ErrUnsupported.
var (
	// ErrConflict: variables that exclude each other are set.
	ErrConflict = errors.New("conflicting variables")
	// ErrIncomplete: a variable is missing or empty that others need.
	ErrIncomplete = errors.New("missing variable")
	// ErrMalformed: a variable's value, or the file that it names, is not
	// what it must be.
	ErrMalformed = errors.New("malformed variable")
)

// Error is about the environment. Its text is MinIO's, or that of the kes
// command for its variables, without what those print in front; it never holds a
// key or a password.
type Error struct {
	Kind      error
	Variables []string // those to look at
	Message   string   // if empty, Err says it all
	Err       error    // the cause, may be nil
}

func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Message
	case e.Message == "":
		return e.Err.Error()
	default:
		return e.Message + ": " + e.Err.Error()
	}
}

func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}
