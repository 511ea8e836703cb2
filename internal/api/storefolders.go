package api

import "context"

const storeFoldersRoute = "/api/v1/store-folders"

// storeFolder is a folder in or below which stores may be added.
type storeFolder struct {
	Path     string `json:"path" doc:"Absolute path on the server."`
	Exists   bool   `json:"exists" doc:"Whether the folder can be reached."`
	Writable bool   `json:"writable" doc:"Whether the server may create files there, as a managed store needs. Otherwise only in-place stores are possible."`
	Free     *int64 `json:"free" doc:"Free space of its disk in bytes; null if unknown."`
}

// listFolders lists the folders in which stores are allowed.
func (a storeAPI) listFolders(context.Context, *struct{}) (*list[storeFolder], error) {
	var items []storeFolder
	for _, f := range a.StoreRoots.List() {
		items = append(items, storeFolder(f))
	}
	return listOf(items, ""), nil
}
