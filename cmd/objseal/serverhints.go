package main

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"syscall"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
)

// serverHint says what to do about what a KES server answered, or why none did;
// empty if err does not tell. docs/errors.md has them beside their causes.
func serverHint(err error) string {
	var call *kms.Error
	var answer *kes.ResponseError
	var network *kes.NetworkError
	switch {
	case !errors.As(err, &call) || errors.Is(err, context.Canceled):
		return ""
	case errors.As(err, &answer):
		return answerHint(call.Op, answer)
	case errors.As(err, &network):
		return networkHint(network)
	}
	return ""
}

func answerHint(op kms.Operation, err *kes.ResponseError) string {
	switch {
	case errors.Is(err, kms.ErrKeyNotFound) && op == kms.OpDecrypt:
		return "use the key server that the object was sealed with, or a backup of its key store (--keystore); objseal kms keys lists the keys of this one, objseal kms status tells whether it reaches its key store"
	case errors.Is(err, kms.ErrKeyNotFound):
		return "objseal kms create makes it; objseal kms keys lists those that there are"
	case errors.Is(err, kms.ErrNotPermitted):
		return "the key server's configuration must name that identity in a policy, and allow that path there: objseal kms policy prints what is needed"
	case errors.Is(err, kms.ErrUnsupported):
		return "the server does not know that call: it is of another generation (objseal kms version), or no KES server"
	}
	return ""
}

func networkHint(err *kes.NetworkError) string {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.Is(err, kms.ErrNotPermitted):
		return "the server verifies client certificates: show one that is signed by a CA it knows and has not expired; an API key cannot be that"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "give the certificate of the CA that signed the server's, or the server's own if it is self-signed, with --kes-ca or MINIO_KMS_KES_CAPATH"
	case errors.As(err, new(x509.HostnameError)):
		return "reach the server by a name or address that is in its certificate, or get it a certificate for this one"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server needs a new certificate; if it has a good one, the clock of this machine is wrong"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "a KES server speaks TLS only: another one listens there, or a proxy takes the TLS off"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: start the server, or correct the address"
	}
	return ""
}
