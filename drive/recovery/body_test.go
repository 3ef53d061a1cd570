package recovery

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestBody: all of the content passes, and its last byte only if the source confirmed it.
func TestBody(t *testing.T) {
	broken := errors.New("tampered")
	for _, size := range []int{0, 1, 2, 3, 1000, 100_000} {
		for _, test := range []struct {
			name  string
			extra int   // bytes more, or less, than announced
			end   error // of the source, io.EOF if nil
			fails bool
		}{
			{name: "whole"},
			{name: "short", extra: -1, fails: true},
			{name: "long", extra: 1, fails: true},
			{name: "unconfirmed", end: broken, fails: true},
			{name: "unconfirmed and short", extra: -1, end: broken, fails: true},
			{name: "source says unexpected EOF", end: io.ErrUnexpectedEOF, fails: true},
		} {
			if size+test.extra < 0 {
				continue
			}
			text := strings.Repeat("x", size+test.extra)
			source := func() io.Reader {
				if test.end == nil {
					return strings.NewReader(text)
				}
				return io.MultiReader(strings.NewReader(text), iotest.ErrReader(test.end))
			}
			for way, read := range map[string]func(b *Body, w io.Writer) error{
				"Read":         func(b *Body, w io.Writer) error { _, err := io.Copy(w, struct{ io.Reader }{b}); return err },
				"byte by byte": func(b *Body, w io.Writer) error { _, err := io.Copy(w, iotest.OneByteReader(b)); return err },
				"WriteTo":      func(b *Body, w io.Writer) error { _, err := b.WriteTo(w); return err },
				"both": func(b *Body, w io.Writer) error {
					if _, err := io.CopyN(w, b, int64(size/2)); err != nil {
						return err
					}
					_, err := b.WriteTo(w)
					return err
				},
			} {
				name := fmt.Sprintf("%d bytes, %s, by %s", size, test.name, way)
				b := NewBody(source(), int64(size))
				var got bytes.Buffer
				err := read(b, &got)
				switch {
				case !test.fails && (err != nil || got.Len() != size || b.err != io.EOF || b.n != int64(size)):
					t.Errorf("%s: %d bytes and %v", name, got.Len(), err)
				case test.fails && err == nil:
					t.Errorf("%s: no error", name)
				case test.fails && size > 0 && got.Len() >= size:
					t.Errorf("%s: the last byte was handed out", name)
				case test.end != nil && test.extra == 0 && !errors.Is(err, test.end):
					t.Errorf("%s: %v, want %v", name, err, test.end)
				}
				if n, again := b.Read(make([]byte, 1)); n != 0 || test.fails && (again == nil || again == io.EOF) {
					t.Errorf("%s: then %d, %v", name, n, again)
				}
			}
		}
	}
}

func TestBodyReader(t *testing.T) {
	text := []byte(strings.Repeat("reader", 500))
	if err := iotest.TestReader(NewBody(bytes.NewReader(text), int64(len(text))), text); err != nil {
		t.Error(err)
	}
}
