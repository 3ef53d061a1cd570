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
