package main

import (
	"crypto/md5"
	"encoding/base64"
)

func md5Of(b []byte) string {
	sum := md5.Sum(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}
