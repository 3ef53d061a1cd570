package recovery

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The directories of the output that are no bucket's: no bucket's name begins with
// a dot.
const (
	versionsDir = ".versions"
	uploadsDir  = ".uploads"
	namesDir    = ".names"   // below the two above: by hash of the name
	partialDir  = ".partial" // what is being written
)

// directorySuffix stands for the trailing slash of an object's name, as it does on
// MinIO's drives. No name without that slash ends so.
const directorySuffix = "__XLDIR__"

// maxPath is more than S3 names have, and less than what programs can open by one path.
const maxPath = 2048

// Places returns where in a tree of files an item may stand, the best first, with
// slashes. The next is for when a file system refuses the one before.
//
//	BUCKET/OBJECT                       the latest version
//	.versions/BUCKET/OBJECT/VERSION     every other one; and the latest where the
//	                                    drives have objects below its name too
//	.versions/.names/HASH/VERSION       either, if it cannot be under its name: HASH is
//	                                    the SHA-256 of BUCKET/OBJECT, in hexadecimal
//	.uploads/BUCKET/OBJECT/UPLOAD       an unfinished upload
//	.uploads/.names/HASH/UPLOAD         the same, of unknown or impossible name
//
// The trailing slash of a name is written __XLDIR__. No place leads out of the tree,
// whatever the name.
func Places(it *Item) []string {
	top, id := versionsDir, cmp.Or(it.place, it.VersionID)
	if it.UploadID != "" {
		top, id = uploadsDir, it.UploadID
	}
	id = element(id)
	var places []string
	if name, ok := filePath(it.Bucket, it.Object); ok {
		if it.IsLatest && !it.Nested && it.UploadID == "" {
			places = append(places, name)
		}
		places = append(places, path.Join(top, name, id))
	}
	return append(places, path.Join(top, namesDir, cmp.Or(it.nameHash, sumOf(it.Bucket+"/"+it.Object)), id))
}

// filePath is bucket and object as a path, if there is one that means the same.
func filePath(bucket, object string) (string, bool) {
	object = fileName(object)
	name := bucket + "/" + object
	reserved := slices.Contains([]string{versionsDir, uploadsDir, partialDir}, bucket)
	ok := len(name) <= maxPath && bucket != "" && object != "" && !reserved && !strings.Contains(bucket, "/") &&
		path.Clean(name) == name && filepath.IsLocal(filepath.FromSlash(name)) && !strings.ContainsRune(name, 0)
	return name, ok
}

// fileName is an object's name as that of a file.
func fileName(object string) string {
	if base, ok := strings.CutSuffix(object, "/"); ok {
		return base + directorySuffix
	}
	return object
}

// element is id where it can be one element of a path, else a hash of it.
func element(id string) string {
	if len(id) > 200 || id == "" || id == "." || id == ".." || strings.ContainsAny(id, "/\\\x00") {
		return sumOf(id)
	}
	return id
}

func sumOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
