package main

import (
	"errors"

	"github.com/objseal/objseal/kms/kes"
)

// kmsHint is the part of hintFor that knows KES servers; empty if err is not
// about one.
func kmsHint(err error) string {
	switch {
	case errors.Is(err, kes.ErrKeyStore):
		return "look at the key store of the key server, and at its log; it may also hold, under that name, what this generation of servers cannot read"
	case errors.Is(err, kes.ErrCertificateExpired):
		return "renew the client certificate for the same private key, which keeps the identity"
	case errors.Is(err, kes.ErrAnswerLost):
		return "objseal kms describe tells when the key was made, and by whom"
	case errors.Is(err, errNotConfirmed):
		return "add --yes if nothing that is still needed was sealed with it: it can never be opened again"
	case errors.Is(err, errBadImport):
		return "give the key on standard input or with --key-file; objseal key new makes such a line"
	case errors.Is(err, errNoServer):
		return "set MINIO_KES_SERVER and MINIO_KES_API_KEY, or the MINIO_KMS_KES_ variables, and no --secret-key-file"
	case errors.Is(err, errStepsFailed):
		return "each step that failed says behind its arrow what to do; the first one matters most"
	}
	return serverHint(err)
}
