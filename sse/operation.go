package sse

// Operation is a request of the S3 API, as far as encryption tells them apart.
type Operation int

const (
	PutObject Operation = iota
	PostObject
	CopyObject
	CreateMultipartUpload
	UploadPart
	UploadPartCopy
	CompleteMultipartUpload
	GetObject // SelectObjectContent too
	HeadObject
	GetObjectAttributes
	// OtherOperation reads and writes no object data and needs no key: listings,
	// deletions, configurations.
	OtherOperation
)

// creates reports whether op decides how an object will be encrypted.
func (op Operation) creates() bool {
	return op == PutObject || op == PostObject || op == CopyObject || op == CreateMultipartUpload
}

// reads reports whether op wants an object that exists.
func (op Operation) reads() bool {
	return op == GetObject || op == HeadObject || op == GetObjectAttributes
}

// copies reports whether op has a second object, its source.
func (op Operation) copies() bool { return op == CopyObject || op == UploadPartCopy }

// isPart reports whether the encryption was decided earlier, when the upload
// was created.
func (op Operation) isPart() bool {
	return op == UploadPart || op == UploadPartCopy || op == CompleteMultipartUpload
}
