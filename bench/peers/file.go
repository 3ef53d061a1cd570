package peers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/stream"
)

// A FileJob takes one file to another, over whatever is in that one.
type FileJob struct {
	Impl    string // objseal, objseal-generic, sio, or copy for the plain loop
	Workers int
	Decrypt bool
	Key     *[KeySize]byte
	Buffer  int // bytes that the loop moves at once; 0: SealBuffer or CopyBuffer
}

// Sizes of the loop's buffer, of those tried the best for sio, and for the plain loop.
// objseal has no use for it.
const (
	SealBuffer = 8 * stream.PackageSize
	CopyBuffer = 2 << 20
)

// Run does the job under AES-256-GCM: read and write, nothing like
// copy_file_range, no fsync. An existing dst keeps its pages, as a file
// does that is written again, and is cut to its new length at the end.
func (j FileJob) Run(dst, src string) (err error) {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()

	if j.Impl == "copy" && j.Workers > 1 {
		return j.copyPieces(out, in)
	}
	impl, ok := fileStream(j.Impl)
	if !ok || j.Workers > 1 && !impl.Workers {
		return fmt.Errorf("there is no %q with %d workers", j.Impl, j.Workers)
	}
	defer Without(impl.Off)()
	codec := impl.New(aead.AES256GCM, j.Key, j.Workers)
	open := codec.EncryptReader
	if j.Decrypt {
		open = codec.DecryptReader
	}
	if open == nil {
		return fmt.Errorf("%s has no readers", j.Impl)
	}
	// The files without their own ReadFrom and WriteTo, which may move bytes
	// inside the kernel: that is no loop to compare with.
	r, err := open(struct{ io.Reader }{in})
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{out}, r, make([]byte, j.buffer()))
	if err != nil {
		return err
	}
	return cut(out, n)
}

// FileWorkers reports whether an implementation has a use for several cores.
func FileWorkers(impl string) bool {
	s, ok := fileStream(impl)
	return impl == "copy" || ok && s.Workers
}

func fileStream(impl string) (Stream, bool) {
	if impl == "copy" {
		impl = "memcpy"
	}
	i := slices.IndexFunc(Streams, func(s Stream) bool { return s.Name == impl })
	if i < 0 {
		return Stream{}, false
	}
	return Streams[i], true
}

func (j FileJob) buffer() int {
	if j.Buffer > 0 {
		return j.Buffer
	}
	if j.Impl == "copy" {
		return CopyBuffer
	}
	return SealBuffer
}

// copyPieces is the plain loop on several cores: each copies a piece of the file.
func (j FileJob) copyPieces(out, in *os.File) error {
	info, err := in.Stat()
	if err != nil {
		return err
	}
	piece := (info.Size() + int64(j.Workers) - 1) / int64(j.Workers)
	done := make(chan error)
	for w := range j.Workers {
		go func() {
			off := int64(w) * piece
			src := struct{ io.Reader }{io.NewSectionReader(in, off, piece)}
			dst := struct{ io.Writer }{io.NewOffsetWriter(out, off)}
			_, err := io.CopyBuffer(dst, src, make([]byte, j.buffer()))
			done <- err
		}()
	}
	for range j.Workers {
		err = errors.Join(err, <-done)
	}
	if err != nil {
		return err
	}
	return cut(out, info.Size())
}

// cut makes the file n bytes long, if it is longer.
func cut(out *os.File, n int64) error {
	info, err := out.Stat()
	if err != nil || info.Size() <= n {
		return err
	}
	return out.Truncate(n)
}
