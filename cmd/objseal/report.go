package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/drive/recovery"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kmsenv"
	"github.com/objseal/objseal/kms/static"
	"github.com/objseal/objseal/sse"
	"github.com/objseal/objseal/stream"
)

// report prints what went wrong, in one sentence each, and what to do about
// it. Messages are lower case and end without a full stop.
func report(w io.Writer, err error) {
	if several, ok := err.(failures); ok {
		for _, e := range several {
			report(w, e)
		}
		return
	}
	fmt.Fprintf(w, "objseal: error: %s\n", err)
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(w, "objseal: hint: %s\n", hint)
	}
}

// failures are those of several files.
type failures []error

func (f failures) Error() string { return errors.Join(f...).Error() }

// hintFor says what to do. The first that applies is the most special one.
func hintFor(err error) string {
	if hint := kmsHint(err); hint != "" {
		return hint
	}
	var exposed *static.RingExposedError
	var serve *serveError
	var keyFile *static.FileError
	var env *kmsenv.Error
	var call *kms.Error
	var ended *endedError
	var missing *notRecoveredError
	switch {
	case errors.As(err, &env) && len(env.Variables) > 0:
		return "look at " + strings.Join(env.Variables, ", ") + "; objseal reads variables as a MinIO server does"
	case errors.As(err, &ended):
		if ended.report {
			return "what is in the report is recovered; go on with --resume when there is room, or whatever was missing"
		}
		return "what was written stays and is complete; with --report a run can be resumed"
	case errors.As(err, &missing):
		if missing.report != "" {
			return "the report says why; with the drives or keys that are missing, go on with --resume"
		}
		return "--report writes down why; with it, --resume tries again what failed"
	case errors.Is(err, errReportExists):
		return "go on with it by --resume, or choose another --report"
	case errors.As(err, new(*recovery.ReportError)):
		return "nothing was changed; --resume takes the --report of an earlier run"
	case errors.Is(err, errOnDrive):
		return "choose a directory of its own for what is recovered, away from the drives"
	case errors.Is(err, errNotOnDrive):
		return "name the directory of an object below the root of a drive"
	case errors.As(err, new(*recovery.CustomerKeyError)):
		return `a line is {"bucket":"b","object":"o","key":"…"}, with "prefix" in place of "object" for many, and "version_id" for one version`
	case errors.Is(err, drive.ErrNotFound):
		return "objseal drive ls lists what the drives have"
	case errors.Is(err, drive.ErrNoDrive), errors.Is(err, drive.ErrForeign), errors.Is(err, drive.ErrDuplicate):
		return "give the root directories of one deployment's drives, each once: those that hold .minio.sys"
	case errors.Is(err, drive.ErrDeleted):
		return "objseal drive ls --all-versions lists older versions; read one with --version-id"
	case errors.Is(err, drive.ErrDamaged):
		return "more drives of the same erasure set may have what is missing here"
	case errors.Is(err, context.Canceled):
		return "it was interrupted; nothing was left half-written"
	case errors.As(err, &exposed):
		return exposed.Hint()
	case errors.As(err, &serve):
		return serve.hint
	case errors.As(err, &keyFile) && errors.Is(err, kms.ErrKeyExists):
		return "give each key of the file a name of its own"
	case errors.As(err, &keyFile) && !errors.As(err, new(syscall.Errno)):
		return "a line is name:base64 of 32 bytes, which objseal key new makes, or name: and a key as its store exported it"
	case errors.Is(err, errKeyExists):
		return "choose another name; remove the old file only if nothing is sealed with that key"
	case errors.Is(err, errNoNewKey):
		return "give it with --new-customer-key-file"
	case errors.Is(err, errIsInput):
		return "choose another --output: what is read would be lost"
	case errors.Is(err, errExists):
		return "choose another --output, or overwrite it with --force"
	case errors.Is(err, errNotRegular):
		return "name a file that is one; only encrypt reads standard input, as -"
	case errors.Is(err, errNoSidecar):
		return "objseal writes FILE.json beside every sealed file; decrypt and inspect look elsewhere with --meta"
	case errors.Is(err, errBadRootCredentials):
		return "it is the MINIO_ROOT_USER and MINIO_ROOT_PASSWORD, or older names of the same, of the server that wrote the drives"
	case errors.Is(err, errBadCustomerKey):
		return "make one: head -c 32 /dev/urandom | base64 > my.key"
	case errors.Is(err, sse.ErrCustomerKeyRequired):
		return "give the key with --customer-key-file"
	case errors.Is(err, sse.ErrCustomerKeyNotApplicable):
		return "leave out --customer-key-file"
	case errors.Is(err, stream.ErrFIPS):
		return "GODEBUG=fips140=only seals nothing, as Go then takes no nonce from a caller; fips140=on allows AES-256-GCM"
	case errors.Is(err, sse.ErrRange):
		return "objseal inspect tells the size; the last byte is size-1"
	case errors.Is(err, kms.ErrUnsupported):
		return "built-in keys are made with objseal key new; a key server of an old generation may not know this call"
	case errors.Is(err, kms.ErrKeyExists):
		return "nothing was changed; use it, or choose another name"
	case errors.Is(err, kms.ErrInvalidKeyID) && errors.As(err, &call) && call.KeyID == "":
		return "name the key with --kms-key"
	case errors.Is(err, kms.ErrInvalidKeyID):
		return "a key's name has 1 to 80 of 0-9 A-Z a-z _ -; if it came from a file's metadata, that was tampered with or is damaged"
	case errors.Is(err, os.ErrNotExist) && sse.KindOf(err) == sse.KindNone:
		return "check the name, and the directory this runs in"
	case errors.Is(err, os.ErrPermission) && sse.KindOf(err) == sse.KindNone:
		return "objseal needs to read its input and to write beside its output"
	}
	switch hint := kindHints[sse.KindOf(err)]; {
	case hint != "":
		return hint
	case errors.As(err, new(*keySourceError)):
		return "check --secret-key-file, --keystore, --kes-ca and the variables; objseal --help says where keys come from"
	case errors.As(err, new(syscall.Errno)):
		return "the system refused it: check what that file is, and the space that is left"
	}
	return ""
}

var kindHints = map[sse.Kind]string{
	sse.KindKeyNotFound:    "use the key server, key file or key ring that the object was sealed with; objseal kms keys lists what this one has",
	sse.KindNotAuthentic:   "either this is not the key it was sealed with, or bucket, object name or context in the metadata are not those it was sealed for, or the metadata is damaged; a key deleted and made again under its old name is another key",
	sse.KindWrongKey:       "use the key that the message names, or the key server or key store that the object was sealed with; the metadata names another key than the one that sealed it",
	sse.KindWrongContext:   "the key is right: bucket, object name or context in the metadata are not those it was sealed for; was it copied or renamed, or written by another program?",
	sse.KindKeyRecreated:   "the key was deleted and made again, or this is not the key server that the object was sealed with: only that one, or a backup of the old key (--keystore, --secret-key-file), opens it",
	sse.KindKeyDamaged:     "restore that key file from a backup of the key store",
	sse.KindKMSUnreachable: "check that the server runs at that address and that its certificate is trusted (--kes-ca); objseal kms doctor looks at every step",
	sse.KindNotPermitted:   "the policy of this identity must allow that API path; objseal kms policy prints the least one for who runs the key server",
	sse.KindNotConfigured:  "set MINIO_KES_SERVER and MINIO_KES_API_KEY, or MINIO_KMS_SECRET_KEY, or give --secret-key-file or --keystore; to start a local key ring, encrypt with --new-key",
	sse.KindNotEncrypted:   "there is nothing to open: use the file as it is",
	sse.KindTampered:       "nothing of it was accepted; take another copy of the file and its metadata",
	sse.KindTruncated:      "the end is missing: copy the file again, or take another copy",
	sse.KindUnsupported:    "if it is known to be that old, --allow-legacy-seal and --allow-legacy-stream accept it",
	sse.KindInvalidRequest: "objseal inspect tells what the file is and which keys it needs",
}
