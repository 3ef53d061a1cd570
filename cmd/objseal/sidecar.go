package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/objseal/objseal/sse"
)

// A sidecar is FILE.json beside a sealed file: the metadata that a storage
// backend would keep, in MinIO's own names.
type sidecar struct {
	Bucket   string            `json:"bucket"`
	Object   string            `json:"object"`
	Size     int64             `json:"size"` // plaintext bytes
	Metadata map[string]string `json:"metadata"`
	Parts    []sidecarPart     `json:"parts,omitempty"` // multipart objects only
}

type sidecarPart struct {
	Number     int   `json:"number"`
	Size       int64 `json:"size"`        // stored bytes
	ActualSize int64 `json:"actual_size"` // plaintext bytes
}

// base64Suffix marks the name of an entry whose value is not text.
const base64Suffix = "#base64"

// maxSidecar bounds what is read as a sidecar: 10,000 parts take under 1 MiB.
const maxSidecar = 16 << 20

var errNoSidecar = errors.New("it is not a sealed object: there is no metadata beside it")

func readSidecar(path string, open func(string) (*os.File, error)) (sidecar, error) {
	f, err := open(path)
	if errors.Is(err, os.ErrNotExist) {
		return sidecar{}, fmt.Errorf("%w (%s)", errNoSidecar, path)
	} else if err != nil {
		return sidecar{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSidecar+1))
	if err != nil {
		return sidecar{}, err
	}
	if len(text) > maxSidecar {
		return sidecar{}, &badSidecarError{path, "is too long for object metadata"}
	}
	return parseSidecar(text, path)
}

// parseSidecar reads hostile text; path is for messages.
func parseSidecar(text []byte, path string) (s sidecar, err error) {
	if json.Unmarshal(text, &s) != nil || s.Object == "" && s.Bucket == "" {
		return sidecar{}, &badSidecarError{path, "is no object metadata"}
	}
	metadata := make(map[string]string, len(s.Metadata))
	for name, value := range s.Metadata {
		plain, binary := strings.CutSuffix(name, base64Suffix)
		if binary {
			b, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return sidecar{}, &badSidecarError{path, fmt.Sprintf("has a value that is not base64 under %q", name)}
			}
			value = string(b)
		}
		if _, twice := metadata[plain]; twice {
			return sidecar{}, &badSidecarError{path, fmt.Sprintf("has two values of %q", plain)}
		}
		metadata[plain] = value
	}
	s.Metadata = metadata
	return s, nil
}

// badSidecarError is metadata that no writer makes.
type badSidecarError struct{ path, problem string }

func (e *badSidecarError) Error() string { return e.path + " " + e.problem }
func (e *badSidecarError) Unwrap() error { return sse.ErrTampered }

// encode is the text of the file; binary values are marked and in base64.
func (s sidecar) encode() ([]byte, error) {
	metadata := make(map[string]string, len(s.Metadata))
	for name, value := range s.Metadata {
		if !utf8.ValidString(value) || strings.HasSuffix(name, base64Suffix) {
			name, value = name+base64Suffix, base64.StdEncoding.EncodeToString([]byte(value))
		}
		metadata[name] = value
	}
	s.Metadata = metadata
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(s)
	return b.Bytes(), err
}

func (s sidecar) name() sse.ObjectName { return sse.ObjectName{Bucket: s.Bucket, Object: s.Object} }

// stored is the object as sse sees it, storedSize the length of the file.
func (s sidecar) stored(storedSize int64) sse.Stored {
	o := sse.Stored{Metadata: s.Metadata, Size: storedSize}
	for _, p := range s.Parts {
		o.Parts = append(o.Parts, sse.Part(p))
	}
	return o
}
