package blob

// SealChunks is the stream of chunks alone, for vectors with a given nonce.
func SealChunks(a Algorithm, key, nonce, plaintext []byte) ([]byte, error) {
	var c chunks
	if err := c.begin(a, key, nonce); err != nil {
		return nil, err
	}
	return c.seal(nil, plaintext), nil
}

// OpenChunks is the other direction.
func OpenChunks(a Algorithm, key, nonce, sealed []byte) ([]byte, error) {
	var c chunks
	if err := c.begin(a, key, nonce); err != nil {
		return nil, err
	}
	return c.open(sealed)
}

// SealEmptyEnd is SealChunks with an empty chunk behind the last full one, as no
// writer does it.
func SealEmptyEnd(a Algorithm, key, nonce, plaintext []byte) ([]byte, error) {
	var c chunks
	if err := c.begin(a, key, nonce); err != nil {
		return nil, err
	}
	c.next(more)
	b := c.key.Seal(nil, c.nonce[:], plaintext[:chunkSize], c.associated[:])
	return c.seal(b, nil), nil
}
