package api

import (
	"github.com/slideatlas/ptiffstore/internal/account"
)

// An object is what a rule wants a scope of.
type object int

const (
	// public is for everybody: what is to be checked, the handler checks.
	public object = iota
	// self is of the caller, who has logged in with a password.
	self
	// listed is for everybody who has logged in, and shows each what they may see.
	listed
	// given is in the body, and the handler checks it. The caller has logged in.
	given
	// everything is all stores and people.
	everything
	// ofStore is the store of the path.
	ofStore
	// ofImage is the image of the path.
	ofImage
	// ofPicture is the image of a route that answers with a picture, whose file
	// may be named instead.
	ofPicture
	// ofTask is the store that the task of the path is about.
	ofTask
)

// A rule says who may use a route: those who hold a scope for an object. What they do
// is in the audit log as act, unless that is empty.
type rule struct {
	scope  account.Scope
	object object
	act    string
}

const (
	seeTiles = account.ScopeTiles
	seeLabel = account.ScopeLabel
	mayWrite = account.ScopeWrite
	mayAdmin = account.ScopeAdmin
)

// showLabel is the act of looking at patient data.
const showLabel = "label.show"

// rules are all of them, by the pattern of the route. A route that has none is
// refused.
var rules = map[string]rule{
	"GET /openapi.json":     {object: public},
	"GET /openapi-3.0.json": {object: public},
	"GET /openapi.yaml":     {object: public},
	"GET /openapi-3.0.yaml": {object: public},
	"GET /schemas/{schema}": {object: public},
	"GET /docs":             {object: public},
	"GET /docs.js":          {object: public},

	// Of other packages: see Guard. Uploads ask who may on their own, by Uploader.
	"GET /metrics":             {mayAdmin, everything, ""},
	"/api/v1/uploads":          {mayWrite, given, ""},
	"/api/v1/uploads/{upload}": {mayWrite, given, ""},

	"GET /api/v1/stores":               {seeTiles, listed, ""},
	"POST /api/v1/stores":              {mayAdmin, everything, "store.add"},
	"GET /api/v1/stores/{store}":       {seeTiles, ofStore, ""},
	"PATCH /api/v1/stores/{store}":     {mayAdmin, ofStore, "store.set"},
	"DELETE /api/v1/stores/{store}":    {mayAdmin, everything, "store.remove"},
	"POST /api/v1/stores/sync":         {mayWrite, everything, "store.sync"},
	"POST /api/v1/stores/{store}/sync": {mayWrite, ofStore, "store.sync"},

	"GET /api/v1/images":                  {seeTiles, listed, ""},
	"GET /api/v1/images/{image}":          {seeTiles, ofImage, ""},
	"PATCH /api/v1/images/{image}":        {mayWrite, ofImage, "image.set"},
	"DELETE /api/v1/images/{image}":       {mayAdmin, ofImage, "image.delete"},
	"POST /api/v1/images/{image}/restore": {mayAdmin, everything, "image.restore"},
	"POST /api/v1/images/{image}/retry":   {mayWrite, ofImage, "image.retry"},
	"POST /api/v1/images/{image}/sign":    {seeTiles, ofImage, "image.sign"},

	// The file's own thumbnail is of the tissue: see pictureScope.
	"GET /api/v1/images/{image}/associated/{kind}": {seeLabel, ofPicture, showLabel},
	"GET /api/v1/images/{image}/preview":           {seeLabel, ofPicture, showLabel},
	"GET /api/v1/images/{image}/thumbnail":         {seeTiles, ofPicture, ""},
	"GET /dzi/{file}":                              {seeTiles, ofPicture, ""},

	"GET /iiif/{version}/{image}":                                   {seeTiles, ofPicture, ""},
	"GET /iiif/{version}/{image}/info.json":                         {seeTiles, ofPicture, ""},
	"GET /iiif/{version}/{image}/{region}/{size}/{rotation}/{file}": {seeTiles, ofPicture, ""},
	"GET /zoomify/{image}/ImageProperties.xml":                      {seeTiles, ofPicture, ""},

	"GET /thumb/{store}/{image}":                     {seeLabel, ofPicture, showLabel},
	"GET /thumb":                                     {seeLabel, ofPicture, showLabel},
	"GET /label":                                     {seeLabel, ofPicture, showLabel},
	"GET /apiv1/slides":                              {seeLabel, listed, ""},
	"GET /apiv1/slides/{file}/label/{$}":             {seeLabel, ofPicture, showLabel},
	"GET /apiv1/slides/{file}/macro/{$}":             {seeLabel, ofPicture, showLabel},
	"GET /api/v1/tasks":                              {seeTiles, listed, ""},
	"POST /api/v1/tasks":                             {mayWrite, given, "task.submit"},
	"GET /api/v1/tasks/{task}":                       {seeTiles, ofTask, ""},
	"DELETE /api/v1/tasks/{task}":                    {mayWrite, ofTask, "task.cancel"},
	"GET /api/v1/tasks/{task}/events":                {seeTiles, ofTask, ""},
	"GET /api/v1/workers":                            {mayAdmin, everything, ""},
	"GET /api/v1/auth/session":                       {object: public},
	"POST /api/v1/auth/login":                        {object: public},
	"POST /api/v1/auth/logout":                       {object: public},
	"POST /api/v1/auth/bootstrap":                    {object: public},
	"GET /api/v1/auth/oidc/start":                    {object: public},
	"GET /api/v1/auth/oidc/callback":                 {object: public}, // wants the provider's word
	"GET /api/v1/auth/check":                         {object: public}, // answers 401 itself
	"POST /api/v1/auth/check":                        {object: public},
	"POST /api/v1/auth/revoke":                       {object: public}, // wants a proof
	"GET /api/v1/auth/revocations":                   {object: public}, // wants a proof
	"GET /api/v1/users":                              {mayAdmin, everything, ""},
	"POST /api/v1/users":                             {mayAdmin, everything, "user.add"},
	"GET /api/v1/users/{user}":                       {mayAdmin, everything, ""},
	"PATCH /api/v1/users/{user}":                     {mayAdmin, everything, "user.set"},
	"DELETE /api/v1/users/{user}":                    {mayAdmin, everything, "user.remove"},
	"PUT /api/v1/users/{user}/password":              {object: self, act: "user.password"},
	"GET /api/v1/users/{user}/sessions":              {object: self},
	"DELETE /api/v1/users/{user}/sessions":           {object: self, act: "user.logout"},
	"DELETE /api/v1/users/{user}/sessions/{session}": {object: self, act: "user.logout"},
	"GET /api/v1/groups":                             {mayAdmin, everything, ""},
	"POST /api/v1/groups":                            {mayAdmin, everything, "group.add"},
	"GET /api/v1/groups/{group}":                     {mayAdmin, everything, ""},
	"PATCH /api/v1/groups/{group}":                   {mayAdmin, everything, "group.set"},
	"DELETE /api/v1/groups/{group}":                  {mayAdmin, everything, "group.remove"},
	"GET /api/v1/groups/{group}/members":             {mayAdmin, everything, ""},
	"PUT /api/v1/groups/{group}/members/{user}":      {mayAdmin, everything, "group.join"},
	"DELETE /api/v1/groups/{group}/members/{user}":   {mayAdmin, everything, "group.leave"},
	"GET /api/v1/tokens":                             {object: self},
	"POST /api/v1/tokens":                            {object: self, act: "token.add"},
	"DELETE /api/v1/tokens/{token}":                  {object: self, act: "token.remove"},
	"GET /api/v1/grants":                             {mayAdmin, everything, ""},
	"POST /api/v1/grants":                            {mayAdmin, everything, "grant.add"},
	"DELETE /api/v1/grants/{grant}":                  {mayAdmin, everything, "grant.remove"},
	"GET /api/v1/audit":                              {mayAdmin, everything, "audit.show"},
}
