package kmsenv

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
)

// kesServer is what both families of variables say of KES servers, but for who
// asks.
type kesServer struct {
	source       string
	endpoints    []string
	endpointsBy  string // the variable
	defaultKeyID string
	caPath       string
}

// listEndpoints reads the list of servers that a variable holds.
func (s *kesServer) listEndpoints(variable, list string) (err error) {
	s.endpointsBy = variable
	s.endpoints, err = kes.ParseEndpoints(list)
	if err != nil {
		return malformed(variable, fmt.Errorf("kms: %w", err))
	}
	if len(s.endpoints) == 0 {
		return &Error{Kind: ErrIncomplete, Variables: []string{variable}, Message: "kms: no KES server endpoint provided"}
	}
	return nil
}

func (s *kesServer) withAPIKey(variable, text string) (Config, error) {
	key, err := kes.ParseAPIKey(text)
	if err != nil {
		return Config{}, malformed(variable, err)
	}
	return s.config(nil, func() (kes.Credentials, error) { return key, nil }), nil
}

// certificateFiles are the files of a certificate, and the variables that name
// them.
type certificateFiles struct {
	certBy, cert, keyBy, key string
}

func (s *kesServer) withCertificate(f certificateFiles, password string) Config {
	files := []File{{Variable: f.certBy, Path: f.cert}, {Variable: f.keyBy, Path: f.key, Secret: true}}
	return s.config(files, func() (kes.Credentials, error) {
		c, err := kes.LoadCertificate(f.cert, f.key, password)
		if err != nil {
			return nil, f.explain(err)
		}
		return c, nil
	})
}

// explain puts MinIO's words to an error of kes.LoadCertificate.
func (f certificateFiles) explain(err error) error {
	var file *kes.FileError
	if !errors.As(err, &file) {
		return err
	}
	e := &Error{Kind: ErrMalformed, Variables: []string{f.keyBy}, Err: file.Err,
		Message: "Unable to load KES client private key as specified by the shell environment"}
	switch {
	case file.File == f.cert:
		e.Variables, e.Message = []string{f.certBy}, "Unable to load KES client certificate as specified by the shell environment"
	case errors.Is(err, x509.IncorrectPasswordError):
		e.Message = "Unable to decrypt KES client private key as specified by the shell environment"
	}
	return e
}

func (s *kesServer) config(files []File, credentials func() (kes.Credentials, error)) Config {
	if s.caPath != "" {
		files = append(files, File{Variable: kesCAPath, Path: s.caPath, Optional: true})
	}
	return Config{Source: s.source, DefaultKeyID: s.defaultKeyID, Files: files, open: func(o *Options) (kms.Backend, error) {
		roots, err := rootCAs(s.caPath, o.CAFile)
		if err != nil {
			return nil, err
		}
		creds, err := credentials()
		if err != nil {
			return nil, err
		}
		backend, err := kes.New(s.endpoints, creds, &kes.Options{DefaultKeyID: s.defaultKeyID, RootCAs: roots, OnExpiry: o.OnExpiry})
		var endpoint *kes.EndpointError
		if errors.As(err, &endpoint) {
			err = malformed(s.endpointsBy, fmt.Errorf("kms: %w", err))
		}
		return backend, err
	}}
}

// maxCAFile bounds a file of CA certificates, in bytes; the systems' own have
// about 250 KB.
const maxCAFile = 8 << 20

var (
	errNoCertificate = errors.New("no PEM certificate in it")
	errTooLarge      = fmt.Errorf("it has more than %d bytes", maxCAFile)
)

// rootCAs returns the system's roots and those at both paths, each a PEM file, a
// directory of such files, or empty; nil, which means the system's alone, if both
// are. As in MinIO (KES spec section 8.1) a capath that cannot be read adds
// nothing, but a file without a certificate is an error.
func rootCAs(capath, required string) (*x509.CertPool, error) {
	if capath == "" && required == "" {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // trust only what was named
	}
	if capath != "" {
		if _, err := addCertificates(pool, capath); errors.Is(err, errNoCertificate) || errors.Is(err, errTooLarge) {
			return nil, malformed(kesCAPath, err)
		}
	}
	if required != "" {
		found, err := addCertificates(pool, required)
		if err == nil && !found {
			err = caError(required, errNoCertificate)
		}
		if err != nil {
			return nil, err
		}
	}
	return pool, nil
}

func caError(path string, err error) error {
	return fmt.Errorf("failed to read CA certificates from %s: %w", path, err)
}

// addCertificates adds what is in a file, or in those files of a directory that
// are readable and hold certificates.
func addCertificates(pool *x509.CertPool, path string) (found bool, err error) {
	entries, err := os.ReadDir(path)
	if err != nil { // also if it is a file
		return true, addFile(pool, path)
	}
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		// Not e.Type: in a mounted secret the files are links.
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			found = addFile(pool, file) == nil || found
		}
	}
	return found, nil
}

func addFile(pool *x509.CertPool, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return caError(path, errors.Unwrap(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCAFile+1))
	switch {
	case err != nil:
		return caError(path, errors.Unwrap(err))
	case len(text) > maxCAFile:
		return caError(path, errTooLarge)
	case !pool.AppendCertsFromPEM(text):
		return caError(path, errNoCertificate)
	}
	return nil
}
