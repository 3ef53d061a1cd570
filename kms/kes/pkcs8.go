package kes

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"
)

// ErrKeyEncryption says that a PKCS#8 key is encrypted in a way that is not
// supported: with PBES1, another cipher than AES and Triple DES, or a key
// derivation that would take minutes or gigabytes.
var ErrKeyEncryption = errors.New("its encryption is not supported; encrypt it anew (openssl pkcs8 -topk8 -v2 aes256 -in KEY -out NEW)")

var errNoPKCS8 = errors.New("it is no encrypted PKCS#8 key")

// Limits of what deriving a key from a password may cost. OpenSSL writes 2048
// iterations, the most careful advice is a million.
const (
	maxIterations = 5_000_000
	maxScrypt     = 256 << 20 // bytes of memory, for one lane and for what all begin and end with
	maxScryptP    = 16
)

var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
	oidTripleDES  = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}
	oidHMACSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidHMACSHA224 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 8}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACSHA384 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}
	oidHMACSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
	oidAES        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1} // and 2, 22 or 42 for the CBC mode of a key size
)

// decryptPKCS8 opens an EncryptedPrivateKeyInfo (RFC 5958 section 3) that was
// sealed by PBES2 (RFC 8018 section 6.2) and returns the DER of the PKCS#8 key. A
// wrong password is x509.IncorrectPasswordError, as far as it can be told.
func decryptPKCS8(der, password []byte, iterations int) ([]byte, error) {
	var sealed struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	if rest, err := asn1.Unmarshal(der, &sealed); err != nil || len(rest) > 0 {
		return nil, errNoPKCS8
	}
	if !sealed.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, ErrKeyEncryption
	}
	var scheme struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	if rest, err := asn1.Unmarshal(sealed.Algorithm.Parameters.FullBytes, &scheme); err != nil || len(rest) > 0 {
		return nil, errNoPKCS8
	}
	size, newCipher := cipherOf(scheme.Cipher.Algorithm)
	if newCipher == nil {
		return nil, ErrKeyEncryption
	}
	var iv []byte
	if rest, err := asn1.Unmarshal(scheme.Cipher.Parameters.FullBytes, &iv); err != nil || len(rest) > 0 {
		return nil, errNoPKCS8
	}
	key, err := deriveKey(scheme.KDF, password, size, iterations)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := newCipher(key)
	if err != nil {
		return nil, err
	}
	n := block.BlockSize()
	if len(iv) != n || len(sealed.Data) == 0 || len(sealed.Data)%n != 0 {
		return nil, errNoPKCS8
	}
	plain := make([]byte, len(sealed.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, sealed.Data)
	pad := int(plain[len(plain)-1])
	isPadded := 1 <= pad && pad <= n
	for _, b := range plain[len(plain)-min(pad, n):] {
		isPadded = isPadded && int(b) == pad
	}
	if !isPadded {
		clear(plain)
		return nil, x509.IncorrectPasswordError
	}
	plain = plain[:len(plain)-pad]
	if _, err := x509.ParsePKCS8PrivateKey(plain); err != nil {
		clear(plain)
		return nil, x509.IncorrectPasswordError // its padding was right by chance
	}
	return plain, nil
}

func cipherOf(oid asn1.ObjectIdentifier) (keySize int, newCipher func([]byte) (cipher.Block, error)) {
	if oid.Equal(oidTripleDES) {
		return 24, des.NewTripleDESCipher
	}
	if last := len(oid) - 1; last == len(oidAES) && oid[:last].Equal(oidAES) {
		switch oid[last] {
		case 2:
			return 16, aes.NewCipher
		case 22:
			return 24, aes.NewCipher
		case 42:
			return 32, aes.NewCipher
		}
	}
	return 0, nil
}

// deriveKey derives a key by what kdf names, if that costs no more than it may.
func deriveKey(kdf pkix.AlgorithmIdentifier, password []byte, size, iterations int) ([]byte, error) {
	switch {
	case kdf.Algorithm.Equal(oidPBKDF2):
		var p struct {
			Salt       []byte
			Iterations int
			KeyLength  int                      `asn1:"optional"`
			PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
		}
		if rest, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil || len(rest) > 0 {
			return nil, errNoPKCS8
		}
		newHash := hashOf(p.PRF.Algorithm)
		if newHash == nil || p.Iterations > iterations || p.KeyLength != 0 && p.KeyLength != size {
			return nil, ErrKeyEncryption
		}
		if p.Iterations < 1 {
			return nil, errNoPKCS8
		}
		return pbkdf2.Key(newHash, string(password), p.Salt, p.Iterations, size)
	case kdf.Algorithm.Equal(oidScrypt): // RFC 7914 section 7
		var p struct {
			Salt      []byte
			N, R, P   int
			KeyLength int `asn1:"optional"`
		}
		if rest, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil || len(rest) > 0 {
			return nil, errNoPKCS8
		}
		if p.N < 2 || p.R < 1 || p.P < 1 {
			return nil, errNoPKCS8
		}
		if p.N > maxScrypt/128/p.R || p.P > maxScrypt/128/p.R || p.P > maxScryptP || p.N > iterations || p.KeyLength != 0 && p.KeyLength != size {
			return nil, ErrKeyEncryption
		}
		key, err := scrypt.Key(password, p.Salt, p.N, p.R, p.P, size)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoPKCS8, err)
		}
		return key, nil
	}
	return nil, ErrKeyEncryption
}

// hashOf returns the hash of an HMAC; of SHA-1 if none is named.
func hashOf(prf asn1.ObjectIdentifier) func() hash.Hash {
	switch {
	case len(prf) == 0, prf.Equal(oidHMACSHA1):
		return sha1.New
	case prf.Equal(oidHMACSHA224):
		return sha256.New224
	case prf.Equal(oidHMACSHA256):
		return sha256.New
	case prf.Equal(oidHMACSHA384):
		return sha512.New384
	case prf.Equal(oidHMACSHA512):
		return sha512.New
	}
	return nil
}
