package static

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// MaxFileSize bounds the files that keys are read from, in bytes: some 500 keys
// with the longest names a KES server takes.
const MaxFileSize = 64 << 10

var (
	errNoKey        = errors.New("it holds no key")
	errFileTooLarge = fmt.Errorf("it has more than %d bytes", MaxFileSize)
)

// FileError tells which file does not hold the keys it should, and where. It
// never shows the file's content.
type FileError struct {
	Path string
	Line int   // from 1; 0 if it is not about one line
	Err  error // as of ParseKey
}

func (e *FileError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("failed to read key file %s: line %d: %v", e.Path, e.Line, e.Err)
	}
	return fmt.Sprintf("failed to read key file %s: %v", e.Path, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// ReadKeyFile reads a file with one key in the form of ParseKey: what
// MINIO_KMS_SECRET_KEY_FILE names. White space around the key is ignored.
// Every error is a *FileError.
func ReadKeyFile(path string) (Key, error) {
	text, err := readFile(path, nil)
	if err != nil {
		return Key{}, err
	}
	defer clear(text)
	key, err := parseKey(bytes.TrimSpace(text))
	if err != nil {
		return Key{}, &FileError{Path: path, Err: err}
	}
	return key, nil
}

// ReadKeyList reads a file of keys in the form of ParseExportedKey, one a line. White
// space around a key, empty lines and lines that start with # are ignored; at
// least one key is there. Every error is a *FileError.
func ReadKeyList(path string) ([]Key, error) {
	return readKeyList(path, nil)
}

func readKeyList(path string, check func(fs.FileInfo) error) ([]Key, error) {
	text, err := readFile(path, check)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	var keys []Key
	line := 0
	for text := range bytes.Lines(text) {
		line++
		text = bytes.TrimSpace(text)
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		key, err := parseExportedKey(text)
		if err != nil {
			return nil, &FileError{Path: path, Line: line, Err: err}
		}
		keys = append(keys, key)
	}
	if keys == nil {
		return nil, &FileError{Path: path, Err: errNoKey}
	}
	return keys, nil
}

// readFile reads a file that passes check and is not too large. The check is
// made on the open file, not on a name that may mean another one by now.
func readFile(path string, check func(fs.FileInfo) error) (text []byte, err error) {
	defer func() {
		if err != nil {
			clear(text)
			text, err = nil, &FileError{Path: path, Err: withoutPath(err)}
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if check != nil {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if err := check(info); err != nil {
			return nil, err
		}
	}
	// One allocation, not io.ReadAll: that leaves pieces of the keys in every
	// buffer it outgrows. A pipe has no size to go by.
	text = make([]byte, MaxFileSize+1)
	switch n, err := io.ReadFull(f, text); err {
	case io.EOF, io.ErrUnexpectedEOF:
		return text[:n], nil
	case nil:
		return text, errFileTooLarge
	default:
		return text, err
	}
}

// withoutPath takes the path out of the message of a failed system call, for
// those who name it themselves.
func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
