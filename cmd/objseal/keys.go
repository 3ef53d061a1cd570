package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/keystore"
	"github.com/objseal/objseal/kms/kmsenv"
	"github.com/objseal/objseal/kms/static"
)

// keyFlags say where keys come from, before the environment is asked.
type keyFlags struct {
	secretKeyFile string
	keyStore      string
	kesCA         string
	ring          string

	source string // what open found
}

func (f *keyFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.secretKeyFile, "secret-key-file", "", "file with secret keys, one name:base64 or name:exported-key a line; the first is the default key")
	flags.StringVar(&f.keyStore, "keystore", "", "`directory` with the key store of a KES server, read without the server")
	flags.StringVar(&f.kesCA, "kes-ca", "", "PEM certificates that KES servers are trusted by, besides the system's")
	flags.StringVar(&f.ring, "key-ring", "", "the local key ring (default: objseal/keys in the user's configuration directory)")
}

// check refuses flags that say two things.
func (f *keyFlags) check() error {
	switch {
	case f.secretKeyFile != "" && f.keyStore != "":
		return usagef("--secret-key-file and --keystore exclude each other")
	case isKey(f.secretKeyFile):
		return usagef("--secret-key-file names a file, and was given a key: whoever sees this command line has it")
	}
	return nil
}

// isKey reports whether a path is a key in the wrong place, which no error may
// show.
func isKey(path string) bool {
	if !strings.Contains(path, ":") {
		path = ":" + path
	}
	_, err := static.ParseExportedKey(path)
	return err == nil
}

// ringFlags say what may happen if there is no key at all: only sealing makes a
// key ring, and only if told to or where somebody sees that it does.
type ringFlags struct{ mayCreate, create bool }

// open returns a client over the first source of keys there is: the file, the
// key store, what the environment names, the local key ring. A ring is made only if no key
// variable is set at all: a job that lost its variables must fail, not seal
// under a fresh key.
func (f *keyFlags) open(cmd *cobra.Command, r ringFlags) (*kms.Client, error) {
	client, err := f.find(cmd, r)
	if err != nil {
		return nil, &keySourceError{err}
	}
	return client, nil
}

// keySourceError is a source of keys that cannot be used.
type keySourceError struct{ err error }

func (e *keySourceError) Error() string { return e.err.Error() }
func (e *keySourceError) Unwrap() error { return e.err }

func (f *keyFlags) find(cmd *cobra.Command, r ringFlags) (*kms.Client, error) {
	if f.secretKeyFile != "" {
		keys, err := static.ReadKeyList(f.secretKeyFile)
		if err != nil {
			return nil, err
		}
		backend, err := static.New(keys, "")
		if err != nil {
			return nil, &static.FileError{Path: f.secretKeyFile, Err: err}
		}
		f.source = "key file " + f.secretKeyFile
		return kms.NewClient(backend, nil), nil
	}
	if f.keyStore != "" {
		// The server's default key is what it was when the server ran.
		backend, err := keystore.Open(f.keyStore, &keystore.Options{DefaultKeyID: strings.TrimSpace(os.Getenv("MINIO_KMS_KES_KEY_NAME"))})
		if err != nil {
			return nil, err
		}
		f.source = "key store " + f.keyStore
		return kms.NewClient(backend, nil), nil
	}
	ring, err := f.ringPath()
	if err != nil && f.ring != "" {
		return nil, err
	}
	client, config, err := kmsenv.Load(nil, &kmsenv.Options{KESCommand: true, Ring: ring, CAFile: f.kesCA, OnExpiry: warnOfExpiry(cmd)})
	f.source = config.Source
	switch {
	case !errors.Is(err, kms.ErrNotConfigured) || kmsenv.HasAny(nil) || !r.mayCreate || ring == "":
		return client, named(err)
	case !r.create && !(isTerminal(cmd.InOrStdin()) && isTerminal(cmd.ErrOrStderr())):
		return nil, named(err)
	}
	backend, created, err := static.CreateRing(ring)
	if err != nil {
		return nil, err
	}
	if created {
		fmt.Fprintf(cmd.ErrOrStderr(), "objseal: made a local key ring in %s: key %q; who loses it loses what it sealed\n", ring, backend.DefaultKeyID())
	}
	f.source = "key ring " + ring
	return kms.NewClient(backend, nil), nil
}

// named puts the variable in front of an error in MinIO's words that does not
// name it.
func named(err error) error {
	var env *kmsenv.Error
	if errors.As(err, &env) && !slices.ContainsFunc(env.Variables, func(v string) bool { return strings.Contains(err.Error(), v) }) {
		return fmt.Errorf("%s: %w", strings.Join(env.Variables, ", "), err)
	}
	return err
}

func (f *keyFlags) ringPath() (string, error) {
	if f.ring != "" {
		return f.ring, nil
	}
	return static.DefaultRingPath()
}
