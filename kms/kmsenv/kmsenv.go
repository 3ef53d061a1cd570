// Package kmsenv finds out from environment variables where keys come from.
//
// Start with [Load]. It reads the variables by MinIO's rules, so that a process
// beside a MinIO server gets that server's keys:
//
//	MINIO_KMS_KES_ENDPOINT, _KEY_NAME      KES servers and the default key, with
//	  _API_KEY or _CERT_FILE, _KEY_FILE,   one way to say who asks, and
//	  _KEY_PASSWORD; _CAPATH               whom to trust besides the system's roots
//	MINIO_KMS_SECRET_KEY, _SECRET_KEY_FILE a built-in key (see kms/static)
//
// and, for commands ([Options].KESCommand), those of the kes command, whose first
// name that is set counts:
//
//	MINIO_KES_SERVER, KES_SERVER           addresses, 127.0.0.1:7373 if not set
//	MINIO_KES_API_KEY, KES_API_KEY         or
//	MINIO_KES_KEY_FILE, KES_CLIENT_KEY, MINIO_KES_CLIENT_KEY      with
//	MINIO_KES_CERT_FILE, KES_CLIENT_CERT, MINIO_KES_CLIENT_CERT
//
// Last comes the local key ring ([Options].Ring), only if no variable is set at
// all ([HasAny]): a job that lost one of its variables must fail, not seal under
// another key.
//
// A variable counts as set even if it is empty, except the two built-in key
// variables; values lose the white space around them. Where MinIO would start
// and fail later (an empty key name, an empty API key, an address without a
// scheme) Load fails at once. Nothing here calls a server.
//
// Not supported: the other product's MINIO_KMS_SERVER, _ENCLAVE, _SSE_KEY and
// _API_KEY, which are an error. Ignored, as by MinIO: MINIO_KMS_KEY_CACHE_INTERVAL.
// Not looked for: MinIO's directory of CA certificates; name it by _CAPATH.
//
// Source: KES spec section 8, SSE spec section 13.
package kmsenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/static"
)

// Options are the settings of Load. The zero value reads MinIO's variables.
type Options struct {
	// KESCommand also reads the variables of the kes command, if MinIO's
	// name neither a key server nor a key.
	KESCommand bool

	// Ring is the path of the local key ring, used if no variable is set at
	// all. Empty: none. A ring that is not there is kms.ErrNotConfigured.
	Ring string

	// CAFile names PEM certificates, in a file or the files of a directory,
	// that KES servers are trusted by besides the system's roots. Unlike what
	// MINIO_KMS_KES_CAPATH names it must be there.
	CAFile string

	// OnExpiry is told when the client certificate of a KES source is about to
	// expire, see kes.Options.
	OnExpiry func(*kes.ExpiryError)

	// Client has the settings of the Client. Its DefaultKeyID wins over the
	// variable's.
	Client *kms.Options
}

// Config is what the environment says.
type Config struct {
	// Source names where the keys come from: the variable, or "key ring" and
	// its path.
	Source string

	// DefaultKeyID is the default key of that source, empty if it has none.
	DefaultKeyID string

	// AutoEncryption is MINIO_KMS_AUTO_ENCRYPTION: whether objects are to be
	// encrypted that no client asked to encrypt.
	AutoEncryption bool

	// Files are those that the source consists of, in the order in which they
	// are read.
	Files []File

	// open reads the files. It is a closure because it holds passwords and
	// keys: a function prints as its address.
	open func(*Options) (kms.Backend, error)
}

// File is one that the environment names.
type File struct {
	Variable string // that names it; empty for the key ring
	Path     string
	Secret   bool // whoever can read it has a key
	Optional bool // MinIO goes on without it
}

// Find returns what Load would open, and reads no file. Its errors are those of
// Load about variables.
func Find(lookup func(string) (string, bool), o *Options) (Config, error) {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	if o == nil {
		o = new(Options)
	}
	config, err := parse(withoutMissingKeyFile(lookup), o)
	if err == nil && config.open == nil {
		err = notConfigured(lookup, o)
	}
	return config, err
}

// Set returns the names of the variables about keys that are set, be they
// empty.
func Set(lookup func(string) (string, bool)) []string {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	return environment(lookup).present(allVariables)
}

// Load returns a Client over the keys that the environment names. lookup is
// os.LookupEnv if nil; a nil o means the defaults.
//
// Errors about variables are an *Error, in MinIO's words where it has some; see
// errors.go for the kinds. If there is neither a key server nor a key the error
// is of kind kms.ErrNotConfigured and the Client nil, which is one that works
// for objects that need none. The Config is that of a source that was found, also
// beside an error of opening it.
func Load(lookup func(string) (string, bool), o *Options) (*kms.Client, Config, error) {
	if o == nil {
		o = new(Options)
	}
	config, err := Find(lookup, o)
	if err != nil {
		return nil, config, err
	}
	backend, err := config.open(o)
	if err != nil {
		return nil, config, err
	}
	if b, ok := backend.(*static.Backend); ok {
		config.DefaultKeyID = b.DefaultKeyID()
	}
	return kms.NewClient(backend, o.Client), config, nil
}

// HasAny reports whether any variable about keys is set at all, be it empty.
// Only if not may a command make a key ring of its own.
func HasAny(lookup func(string) (string, bool)) bool { return len(Set(lookup)) > 0 }

// environment looks up a variable, as os.LookupEnv does.
type environment func(name string) (string, bool)

// get returns the value without the white space around it; empty if not set.
func (env environment) get(name string) string {
	value, _ := env(name)
	return strings.TrimSpace(value)
}

// first returns the first of names that is set, and its value; both empty if
// none is.
func (env environment) first(names []string) (name, value string) {
	if set := env.present(names); len(set) > 0 {
		return set[0], env.get(set[0])
	}
	return "", ""
}

// present returns those of names that are set.
func (env environment) present(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, ok := env(name)
		return !ok
	})
}

// filled returns those of names that are set and not empty.
func (env environment) filled(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return env.get(name) == "" })
}

// parse applies all the rules that need no file. A Config without open is one
// without keys.
func parse(env environment, o *Options) (Config, error) {
	config, err := parseMinIO(env)
	if err == nil && config.open == nil && o.KESCommand {
		config, err = parseKESCommand(env)
	}
	if err == nil && config.open == nil && o.Ring != "" && !HasAny(env) {
		config = ringConfig(o.Ring)
	}
	config.AutoEncryption = parseBool(env.get(autoEncryption))
	if err == nil && config.AutoEncryption && config.open == nil {
		err = &Error{Kind: kms.ErrNotConfigured, Variables: []string{autoEncryption},
			Message: "MINIO_KMS_AUTO_ENCRYPTION requires a valid KMS configuration: no KMS configured"}
	}
	return config, err
}

// parseBool reads a boolean as MinIO does: what cannot be read is off.
func parseBool(value string) bool {
	on, _ := strconv.ParseBool(value)
	return on || strings.EqualFold(value, "on")
}

func ringConfig(path string) Config {
	return Config{Source: "key ring " + path, Files: []File{{Path: path, Secret: true}}, open: func(*Options) (kms.Backend, error) {
		ring, err := static.OpenRing(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: there is no variable, and no key ring %s", kms.ErrNotConfigured, path)
		} else if err != nil {
			return nil, err
		}
		return ring, nil
	}}
}

// withoutMissingKeyFile hides MINIO_KMS_SECRET_KEY_FILE if there is no such
// file: to MinIO it is not set then (SSE spec section 13).
func withoutMissingKeyFile(env environment) environment {
	path := env.get(secretKeyFile)
	if path == "" {
		return env
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return env
	}
	return func(name string) (string, bool) {
		if name == secretKeyFile {
			return "", true // still there, for HasAny
		}
		return env(name)
	}
}

// notConfigured says which variables are set although none of them names a key.
func notConfigured(env environment, o *Options) error {
	names := minIOVariables
	if o.KESCommand {
		names = allVariables
	}
	set := env.present(names)
	if len(set) == 0 {
		return kms.ErrNotConfigured
	}
	var reasons []string
	for _, name := range set {
		switch {
		case env.get(name) == "":
			reasons = append(reasons, name+" is empty")
		case name == secretKeyFile:
			reasons = append(reasons, name+" names a file that does not exist")
		default:
			reasons = append(reasons, name+" alone names no key")
		}
	}
	return &Error{Kind: kms.ErrNotConfigured, Variables: set,
		Message: fmt.Sprintf("%v: %s", kms.ErrNotConfigured, strings.Join(reasons, ", "))}
}
