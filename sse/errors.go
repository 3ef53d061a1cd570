package sse

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/stream"
)

// The failures that this package adds to those of kms and stream. All are
// found by errors.Is from the outermost call; [KindOf] sorts any of them.
var (
	// ErrNotEncrypted: the metadata has no trace of encryption. Whether that is
	// what the object should be is the caller's to know.
	ErrNotEncrypted = errors.New("object is not encrypted")
	// ErrNotAuthentic: the sealed key does not open. The external key is not
	// the one it was sealed under, or the object's name is another one, or the
	// metadata is damaged; nothing tells which.
	ErrNotAuthentic = errors.New("sealed key is not authentic: another key, another object name, or damaged metadata")
	// ErrTampered: metadata that no writer makes, or content that is not what
	// the sealed ETag or checksum says.
	ErrTampered = errors.New("object was tampered with or is damaged")
	// ErrUnsupported: a form of encryption that is refused or unknown.
	ErrUnsupported = errors.New("not supported")
	// ErrInvalidRequest: what was asked makes no sense; see RequestError for
	// the S3 answer.
	ErrInvalidRequest = errors.New("invalid request")
	// ErrCustomerKeyRequired: an SSE-C object, and no customer key was given.
	ErrCustomerKeyRequired = fmt.Errorf("%w: the object is encrypted with a customer key (SSE-C), which must be given", ErrInvalidRequest)
	// ErrCustomerKeyNotApplicable: a customer key for an object without SSE-C.
	ErrCustomerKeyNotApplicable = fmt.Errorf("%w: a customer key was given, but the object is not encrypted with one", ErrInvalidRequest)
	// ErrRange: the range lies outside of the object.
	ErrRange = fmt.Errorf("%w: the range is not satisfiable", ErrInvalidRequest)
)

// MetadataError tells which metadata entry is not as it must be. It is
// ErrTampered, or ErrUnsupported for a form this package refuses. It holds no
// bytes of the entry's value.
type MetadataError struct {
	Entry   string // name
	Problem string // completes "metadata entry … "
	Err     error  // ErrTampered or ErrUnsupported
}

func (e *MetadataError) Error() string {
	return fmt.Sprintf("metadata entry %s %s: %v", e.Entry, e.Problem, e.Err)
}
func (e *MetadataError) Unwrap() error { return e.Err }

// isEnvelope tells an entry of the keys from sizes, ETag and compression, and
// from keys of which nothing is left but a trace.
func (e *MetadataError) isEnvelope() bool {
	switch e.Entry {
	case metaActualSize, metaETag, metaCompression, metaChecksum, metaMultipart:
		return false
	}
	return e.Problem != noSealedKey
}

const noSealedKey = "is present, but there is no sealed key"

func tampered(entry, problem string) error {
	return &MetadataError{Entry: entry, Problem: problem, Err: ErrTampered}
}

// A RequestError is a refused S3 request, with what S3 answers to it. It is
// ErrInvalidRequest.
type RequestError struct {
	Response
	problem string // for messages elsewhere, if it is not Response.Message
}

func (e *RequestError) Error() string {
	if e.problem != "" {
		return fmt.Sprintf("%v: %s", ErrInvalidRequest, e.problem)
	}
	return fmt.Sprintf("%v: %s", ErrInvalidRequest, e.Message)
}
func (e *RequestError) Unwrap() error { return ErrInvalidRequest }

// Kind names a sort of failure, the same in messages, reports and hints.
type Kind string

const (
	KindNone           Kind = ""
	KindKeyNotFound    Kind = "key-not-found"   // the key server has no key of that name
	KindNotAuthentic   Kind = "not-authentic"   // another key, name or context, or damaged metadata
	KindWrongKey       Kind = "wrong-key"       // not-authentic, and evidence of another key (see Diagnose)
	KindWrongContext   Kind = "wrong-context"   // not-authentic, and evidence of other associated data
	KindKeyRecreated   Kind = "key-recreated"   // not-authentic, and the key is younger than the object
	KindKeyDamaged     Kind = "key-damaged"     // the key store has no readable key under that name
	KindKMSUnreachable Kind = "kms-unreachable" // no answer
	KindNotPermitted   Kind = "not-permitted"   // the key server or a hook said no
	KindTampered       Kind = "tampered"        // metadata, packages or content are not what was written
	KindTruncated      Kind = "truncated"       // the end of the data is missing
	KindUnsupported    Kind = "unsupported"     // a form that is refused or unknown
	KindInvalidRequest Kind = "invalid-request" // what was asked makes no sense
	KindNotEncrypted   Kind = "not-encrypted"   // no trace of encryption
	KindNotConfigured  Kind = "not-configured"  // no key server and no key
)

// The order matters: an error that wraps two of these is of the first kind. A
// sealed key that does not open wraps stream's ErrTampered too, but says
// nothing about tampering.
var kinds = []struct {
	err  error
	kind Kind
}{
	{kms.ErrKeyNotFound, KindKeyNotFound},
	{kms.ErrKeyDamaged, KindKeyDamaged},
	{kms.ErrWrongKey, KindWrongKey},
	{kms.ErrWrongContext, KindWrongContext},
	{kms.ErrKeyRecreated, KindKeyRecreated},
	{kms.ErrNotAuthentic, KindNotAuthentic},
	{ErrNotAuthentic, KindNotAuthentic},
	{kms.ErrUnreachable, KindKMSUnreachable},
	{kms.ErrNotPermitted, KindNotPermitted},
	{kms.ErrNotConfigured, KindNotConfigured},
	{kms.ErrInvalidKeyID, KindInvalidRequest},
	{kms.ErrKeyExists, KindInvalidRequest},
	{kms.ErrUnsupported, KindUnsupported},
	{kms.ErrKeySize, KindUnsupported},
	{ErrNotEncrypted, KindNotEncrypted},
	{ErrInvalidRequest, KindInvalidRequest},
	{ErrUnsupported, KindUnsupported},
	{ErrTampered, KindTampered},
	{stream.ErrUnsupported, KindUnsupported},
	{stream.ErrTruncated, KindTruncated},
	{stream.ErrTampered, KindTampered},
	{stream.ErrTooLarge, KindInvalidRequest},
}

// KindOf sorts an error of this package, kms or stream. It is KindNone for nil
// and for what none of them made (a full disk, a cancelled context).
func KindOf(err error) Kind {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.kind
		}
	}
	return KindNone
}

// Response is what an S3 server answers to a failure.
type Response struct {
	Status  int    // of HTTP
	Code    string // of S3
	Message string
}

// The failures whose answer is the same whatever was asked (SSE spec section
// 11.1), the first that fits.
var responses = []struct {
	err error
	Response
}{
	{kms.ErrKeyNotFound, Response{http.StatusNotFound, "kms:KeyNotFound", "key with given key ID does not exist"}},
	{kms.ErrKeyExists, Response{http.StatusConflict, "kms:KeyAlreadyExists", "key with given key ID already exists"}},
	{kms.ErrNotPermitted, Response{http.StatusForbidden, "kms:NotAuthorized", "insufficient permissions to perform KMS operation"}},
	{kms.ErrNotAuthentic, Response{http.StatusBadRequest, "kms:InvalidCiphertextException", "failed to decrypt ciphertext"}},
	{kms.ErrNotConfigured, Response{http.StatusNotImplemented, "NotImplemented", "Server side encryption specified but KMS is not configured (KMS not configured for a server side encrypted objects)"}},
	{kms.ErrInvalidKeyID, Response{http.StatusBadRequest, "InvalidArgument", "the KMS key ID is not valid"}},
	{kms.ErrUnsupported, Response{http.StatusNotImplemented, "kms:NotSupported", "requested KMS functionality is not supported"}},
	{ErrCustomerKeyRequired, storedEncrypted},
	{ErrCustomerKeyNotApplicable, storedEncrypted},
	{ErrRange, Response{http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range is not satisfiable"}},
	{ErrNotAuthentic, Response{http.StatusForbidden, "AccessDenied", "Access Denied."}},
	{ErrNotEncrypted, Response{http.StatusBadRequest, "InvalidRequest", "The encryption parameters are not applicable to this object."}},
	{stream.ErrTooLarge, Response{http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size."}},
	{ErrInvalidRequest, Response{http.StatusBadRequest, "InvalidRequest", "Invalid Request"}},
	{ErrTampered, damagedObject},
	{stream.ErrTampered, damagedObject},
	{stream.ErrTruncated, damagedObject},
	{ErrUnsupported, Response{http.StatusNotImplemented, "NotImplemented", "the object's form of encryption is not supported"}},
	{stream.ErrUnsupported, Response{http.StatusNotImplemented, "NotImplemented", "the object's form of encryption is not supported"}},
}

var (
	storedEncrypted = Response{http.StatusBadRequest, "InvalidRequest", "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object."}
	// MinIO answers 206, which tells clients that they got an object.
	damagedObject = Response{http.StatusInternalServerError, "XMinioObjectTampered", "The object was tampered with or is damaged"}
	internalError = Response{http.StatusInternalServerError, "InternalError", "We encountered an internal error, please try again."}
)

// kmsFailures are the answers to everything else that a key server did not do:
// it is not there, or not able to.
var kmsFailures = map[kms.Operation]Response{
	kms.OpGenerateKey: {http.StatusInternalServerError, "kms:KeyGenerationFailed", "failed to generate data key with KMS key"},
	kms.OpDecrypt:     {http.StatusInternalServerError, "kms:DecryptionFailed", "failed to decrypt ciphertext with KMS key"},
	kms.OpEncrypt:     {http.StatusInternalServerError, "kms:EncryptionFailed", "failed to encrypt plaintext with KMS key"},
	kms.OpCreateKey:   {http.StatusInternalServerError, "kms:KeyCreationFailed", "failed to create KMS key"},
}

// ErrorResponse says what to answer to err (SSE spec section 11.1). What
// nothing is known of is 500 InternalError. Once a body was begun there is no
// answer left: cut the connection.
func ErrorResponse(err error) Response {
	var request *RequestError
	if errors.As(err, &request) {
		return request.Response
	}
	var metadata *MetadataError
	if errors.As(err, &metadata) && metadata.isEnvelope() {
		return Response{http.StatusBadRequest, "XMinioEncryptionError", "The encrypted object's metadata is malformed: " + metadata.Entry + " " + metadata.Problem}
	}
	for _, r := range responses {
		if errors.Is(err, r.err) {
			return r.Response
		}
	}
	var failure *kms.Error
	if errors.As(err, &failure) {
		if r, ok := kmsFailures[failure.Op]; ok {
			return r
		}
	}
	return internalError
}
