package stream

import (
	"crypto/fips140"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/objseal/objseal/internal/aead"
)

// This file is the engine: headers, nonces, order, and the only calls that seal
// and open. The readers and writers of the package move bytes to it and from
// it. A sealer or opener is copied to work on another place of the same stream
// at the same time: of an opener, once it has opened a package, a copy shares nothing
// that changes.

const (
	version10 = 0x10
	version20 = 0x20
	finalFlag = 0x80 // in the first nonce byte (DARE section 1.2)
	nonceSize = 12
)

// header is the first HeaderSize bytes of a package.
type header []byte

func (h header) version() byte { return h[0] }
func (h header) cipher() byte  { return h[1] }
func (h header) payload() int  { return int(binary.LittleEndian.Uint16(h[2:])) + 1 }
func (h header) final() bool   { return h.version() == version20 && h[4]&finalFlag != 0 }

// associated returns what the AEAD authenticates beside the payload. The other
// bytes of a header are authenticated as its nonce.
func (h header) associated() *[4]byte { return (*[4]byte)(h) }

// streamNonce returns the random bytes that all packages of a stream carry: the
// nonce field without the final flag.
func (h header) streamNonce() (n [nonceSize]byte) {
	copy(n[:], h[4:HeaderSize])
	n[0] &^= finalFlag
	return n
}

// packageNonce sets dst to the AEAD nonce of package number n. It differs for
// all 2^32 numbers, and for the final package of each number.
func (h header) packageNonce(dst *[nonceSize]byte, n uint32) {
	copy(dst[:], h[4:HeaderSize])
	last := binary.LittleEndian.Uint32(dst[8:])
	binary.LittleEndian.PutUint32(dst[8:], last^n)
}

// randomNonce draws the nonce of a new stream. Tests with known answers replace it.
var randomNonce = func() (n [nonceSize]byte) {
	rand.Read(n[:])
	return n
}

// A sealer makes the packages of one stream, in order.
type sealer struct {
	key    hidden[aead.Key] // or only memory for one
	header [HeaderSize]byte // of a package that is not final; the length is set for each
	next   uint64           // number of the next package
	offset int64            // where it begins in the ciphertext

	workers int
	live    bool // there is a key
}

// begin makes s ready for a new stream, whose longest payload has longest bytes at most. It
// is empty before that, and stays so if it fails: both but for memory for a key.
func (s *sealer) begin(key []byte, opts *Options, longest int) error {
	o, err := opts.orDefault()
	if err != nil {
		return err
	}
	if len(key) != KeySize {
		return ErrInvalidKey
	}
	if fips140.Enforced() {
		return fmt.Errorf("%w: encryption needs an AEAD that takes a nonce from its caller", ErrFIPS)
	}
	c := o.Cipher.resolve()
	if s.key.isNone() {
		s.key = sealKeys.take()
	}
	if err := expand(s.key.get(), c.id(), (*[KeySize]byte)(key), longest); err != nil {
		return fmt.Errorf("%w: %v", err, c)
	}
	s.live, s.next, s.workers = true, uint64(o.Sequence), o.Workers
	s.header[0], s.header[1] = version20, c.id()
	*(*[nonceSize]byte)(s.header[4:]) = randomNonce()
	s.header[4] &^= finalFlag
	return nil
}

// end ends the use of the key, by copies too, and keeps memory for another one.
func (s *sealer) end() {
	if s.live {
		s.key.get().Wipe()
		s.key.renew()
		s.live = false
	}
}

// drop is end, and keeps nothing.
func (s *sealer) drop() {
	s.end()
	if !s.key.isNone() {
		sealKeys.give(s.key)
		s.key = hidden[aead.Key]{}
	}
}

// seal writes the next package to the front of dst and returns it. The payload
// has 1 to PayloadSize bytes, exactly PayloadSize unless final; it is
// elsewhere or at dst[HeaderSize:] already. dst has room for Overhead more.
func (s *sealer) seal(dst, payload []byte, final bool) ([]byte, error) {
	if !s.live {
		panic(givenBack)
	}
	if s.next >= MaxPackages {
		return nil, &Error{int64(s.next), s.offset, ErrTooLarge, "a stream has 2^32 packages at most"}
	}
	pkg := dst[: len(payload)+Overhead : len(payload)+Overhead]
	h := header(pkg[:HeaderSize])
	copy(h, s.header[:])
	binary.LittleEndian.PutUint16(h[2:], uint16(len(payload)-1))
	if final {
		h[4] |= finalFlag
	}
	var nonce [nonceSize]byte
	h.packageNonce(&nonce, uint32(s.next))
	s.key.get().SealPackage(pkg[HeaderSize:], payload, &nonce, h.associated())
	s.next++
	s.offset += int64(len(pkg))
	return pkg, nil
}

// skip moves behind n full packages that a copy seals.
func (s *sealer) skip(n int) {
	s.next += uint64(n)
	s.offset += int64(n) * PackageSize
}

// An opener opens the packages of one stream, in order: cut finds the next one
// in the input, open authenticates and decrypts it.
//
// Its fields are in an order without gaps: of what a small object costs, a fifth is the
// memory of its reader.
type opener struct {
	suite suite

	next   uint64 // number of the next package
	offset int64  // where it begins in the ciphertext

	// Where the size of the stream is known: the number behind the last package
	// of the input (0: not known), and whether that package must be the final
	// one. If not, none may be.
	end      uint64
	endFinal bool

	ended bool // the final package was opened

	// What the first package says of all others.
	version     byte // 0 before that
	cipher      byte
	streamNonce [nonceSize]byte

	allowEmpty, allowLegacy bool

	workers int32
}

// begin makes o ready for a stream whose longest payload has longest bytes at most. It is
// empty before that, and stays so if it fails: both but for memory for a key.
func (o *opener) begin(key []byte, opts *Options, longest int) error {
	settings, err := opts.orDefault()
	if err != nil {
		return err
	}
	if err := o.suite.begin(key, longest); err != nil {
		return err
	}
	o.allowEmpty, o.allowLegacy = settings.AllowEmpty, settings.AllowLegacy
	o.workers, o.next = int32(min(settings.Workers, math.MaxInt32)), uint64(settings.Sequence)
	return nil
}

// cut returns the length of the package that in begins with, as far as in
// tells; the package is whole if in is not shorter. HeaderSize stands for a
// header that is not whole. last says that no input follows in; then a
// package that is not whole is ErrTruncated, and for an empty in cut returns
// io.EOF if the stream may end here.
//
// What is refused depends on the bytes seen, not on the pieces they came in.
func (o *opener) cut(in []byte, last bool) (int, error) {
	if len(in) > 0 {
		if err := o.check(in); err != nil {
			return 0, err
		}
	} else if last {
		return 0, o.finish()
	}
	n := HeaderSize
	if len(in) >= HeaderSize {
		n = header(in).payload() + Overhead
	}
	switch {
	case len(in) < n && last:
		return 0, o.fail(ErrTruncated, "%d bytes of a package that has %d or more", len(in), n)
	case len(in) > n && header(in).final():
		return 0, o.fail(ErrTampered, "data after the final package")
	}
	return n, nil
}

// check refuses what the beginning of a package shows to be wrong. in has a
// byte at least.
func (o *opener) check(in header) error {
	first := o.version == 0
	switch v := in.version(); {
	case o.ended:
		return o.fail(ErrTampered, "data after the final package")
	case o.next >= MaxPackages:
		return o.fail(ErrTooLarge, "a stream has 2^32 packages at most")
	case !first && v != o.version:
		return o.fail(ErrTampered, "versions mixed")
	case v != version10 && v != version20:
		return o.fail(ErrUnsupported, "no version of DARE begins with byte 0x%02x", v)
	case v == version10 && !o.allowLegacy:
		return o.fail(ErrUnsupported, "DARE 1.0 is accepted with Options.AllowLegacy only")
	}
	if len(in) > 1 {
		switch c := in.cipher(); {
		case !first && c != o.cipher && o.version == version20:
			return o.fail(ErrTampered, "ciphers mixed")
		case c > ChaCha20Poly1305.id():
			return o.fail(ErrUnsupported, "no cipher has the id 0x%02x", c)
		}
	}
	if in.version() == version10 {
		return o.check10(in)
	}
	switch {
	case len(in) < HeaderSize:
		return nil
	case !in.final() && in.payload() != PayloadSize:
		return o.fail(ErrTampered, "%d bytes of payload in a package that is not final", in.payload())
	case !first && in.streamNonce() != o.streamNonce:
		return o.fail(ErrTampered, "packages of two streams mixed")
	}
	return nil
}

// open authenticates pkg, which cut found whole, and decrypts it to dst. The two
// may share memory only if dst is pkg[HeaderSize:]. dst has room for the
// payload; when open fails that room holds nothing of the plaintext.
func (o *opener) open(dst, pkg []byte) error {
	h := header(pkg)
	dst = dst[:h.payload()]
	k, nonce, err := o.keyAndNonce(h)
	if err != nil {
		return err
	}
	if !k.OpenPackage(dst, pkg[HeaderSize:], &nonce, h.associated()) {
		return o.fail(ErrTampered, "authentication failed")
	}
	if err := o.advance(h, len(pkg)); err != nil {
		clear(dst)
		return err
	}
	return nil
}

// openPart is open in place, where only a part of the plaintext is wanted. It returns
// that part. All plaintext that is in pkg then is in the bytes from begin to end.
func (o *opener) openPart(pkg []byte, from, to int) (part []byte, begin, end int, err error) {
	h := header(pkg)
	k, nonce, err := o.keyAndNonce(h)
	if err != nil {
		return nil, 0, 0, err
	}
	begin, end, ok := k.OpenPackagePart(pkg[HeaderSize:], &nonce, h.associated(), from, to)
	if !ok {
		return nil, 0, 0, o.fail(ErrTampered, "authentication failed")
	}
	begin, end = HeaderSize+begin, HeaderSize+end
	if err := o.advance(h, len(pkg)); err != nil {
		clear(pkg[begin:end])
		return nil, 0, 0, err
	}
	return pkg[HeaderSize+from : HeaderSize+to], begin, end, nil
}

// keyAndNonce returns what the next package, of header h, is to be opened with.
func (o *opener) keyAndNonce(h header) (k *aead.Key, nonce [nonceSize]byte, err error) {
	if k, err = o.suite.aead(h.cipher()); err != nil {
		return nil, nonce, o.fail(err, "%v", cipherOf(h.cipher()))
	}
	if h.version() == version10 {
		h.packageNonce10(&nonce)
	} else {
		h.packageNonce(&nonce, uint32(o.next))
	}
	return k, nonce, nil
}

// advance moves behind a package of n bytes that was authenticated.
func (o *opener) advance(h header, n int) error {
	if o.end > 0 && h.version() == version20 {
		switch mustEnd := o.endFinal && o.next+1 == o.end; {
		case h.final() && !mustEnd:
			return o.fail(ErrTampered, "the stream ends here, before its stated size")
		case !h.final() && mustEnd:
			return o.fail(ErrTruncated, "the stream goes on after its stated size")
		}
	}
	o.follow(h)
	o.ended = h.final()
	o.next++
	o.offset += int64(n)
	return nil
}

// isInner tells whether pkg, of PackageSize bytes or more, looks like the next package
// of a stream of DARE 2.0 that has more behind it. Only open tells whether it is.
func (o *opener) isInner(pkg header) bool {
	return o.version == version20 && o.check(pkg) == nil && !pkg.final() && pkg.payload() == PayloadSize
}

// skip moves behind n full packages that a copy opens.
func (o *opener) skip(n int) {
	o.next += uint64(n)
	o.offset += int64(n) * PackageSize
}

// follow makes h the header that those of all later packages are compared with.
func (o *opener) follow(h header) {
	o.version, o.cipher, o.streamNonce = h.version(), h.cipher(), h.streamNonce()
}

// finish returns io.EOF if a stream may end in front of the next package.
func (o *opener) finish() error {
	switch {
	case o.ended, o.version == version10:
		return io.EOF
	case o.version == 0 && o.allowEmpty:
		return io.EOF
	case o.end > 0 && !o.endFinal && o.next == o.end:
		return io.EOF
	case o.version == 0:
		return o.fail(ErrTruncated, "no data at all; Options.AllowEmpty accepts that")
	}
	return o.fail(ErrTruncated, "the final package is missing")
}

// endAt tells that the input has n packages from here on, and whether the last
// one must be the stream's final one.
func (o *opener) endAt(n int64, final bool) error {
	if o.next+uint64(n) > MaxPackages {
		return o.fail(ErrTooLarge, "a stream has 2^32 packages at most")
	}
	o.end, o.endFinal = o.next+uint64(n), final
	return nil
}

// at moves a copy of an opener to another package of the stream.
func (o *opener) at(number uint64, offset int64) {
	o.next, o.offset, o.ended = number, offset, false
}

func (o *opener) fail(kind error, format string, args ...any) error {
	return &Error{int64(o.next), o.offset, kind, fmt.Sprintf(format, args...)}
}
