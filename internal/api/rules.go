package api

import (
	"github.com/slideatlas/ptiffstore/internal/account"
)

// An object is what a rule requires a scope for.
type object int

const (
	// public is for everyone: the handler makes any checks.
	public object = iota
	// self is the caller, who has logged in with a password.
	self
	// listed is for every logged-in caller; the handler lists only what the caller may
	// see.
	listed
	// given is in the body, and the handler checks it. The caller has logged in.
	given
	// everything is all stores and users.
	everything
	// ofStore is the store of the path.
	ofStore
	// ofImage is the image of the path.
	ofImage
	// ofPicture is the image of a route that responds with a picture; the request may
	// have its file's name instead of its id.
	ofPicture
	// ofTask is the store of the task in the path.
	ofTask
)

// A rule restricts a route to callers who hold a scope for an object. The request is
// recorded in the audit log as act, unless act is empty.
type rule struct {
	scope  account.Scope
	object object
	act    string
}

const (
	seeTiles = account.ScopeTiles
	seeLabel = account.ScopeLabel
	mayFile  = account.ScopeFile
	mayWrite = account.ScopeWrite
	mayAdmin = account.ScopeAdmin
)

// showLabel is the audit log's act for viewing patient data.
const showLabel = "label.show"

// showAudit is the act for reading the audit log: one entry for reading several pages.
const showAudit = "audit.show"

// rules are the rules of all routes, by pattern. A route without a rule is refused.
var rules = map[string]rule{
	"GET /openapi.json":     {object: public},
	"GET /openapi-3.0.json": {object: public},
	"GET /openapi.yaml":     {object: public},
	"GET /openapi-3.0.yaml": {object: public},
	"GET /schemas/{schema}": {object: public},
	"GET /docs":             {object: public},
	"GET /docs.js":          {object: public},

	// Served by other packages: see Guard. Uploads check permissions themselves, with
	// Uploader.
	"GET /metrics":             {mayAdmin, everything, ""},
	"/api/v1/uploads":          {mayWrite, given, ""},
	"/api/v1/uploads/{upload}": {mayWrite, given, ""},

	// Instances are received by package dicomweb, which checks permissions as uploads do.
	"POST /dicom-web/studies":         {mayWrite, given, ""},
	"POST /dicom-web/studies/{study}": {mayWrite, given, ""},

	"GET /api/v1/stores":               {seeTiles, listed, ""},
	"POST /api/v1/stores":              {mayAdmin, everything, "store.add"},
	"GET /api/v1/stores/{store}":       {seeTiles, ofStore, ""},
	"PATCH /api/v1/stores/{store}":     {mayAdmin, ofStore, "store.set"},
	"DELETE /api/v1/stores/{store}":    {mayAdmin, everything, "store.remove"},
	"GET /api/v1/store-folders":        {mayAdmin, everything, ""},
	"POST /api/v1/stores/sync":         {mayWrite, everything, "store.sync"},
	"POST /api/v1/stores/{store}/sync": {mayWrite, ofStore, "store.sync"},

	"POST /api/v1/stores/{store}/case-pattern": {mayAdmin, ofStore, ""},

	// Cases are patient data: see caseAPI.
	"GET /api/v1/cases":             {seeTiles, listed, ""},
	"GET /api/v1/cases/{accession}": {seeTiles, listed, ""},

	"GET /api/v1/images":                  {seeTiles, listed, ""},
	"GET /api/v1/images/{image}":          {seeTiles, ofImage, ""},
	"PATCH /api/v1/images/{image}":        {mayWrite, ofImage, "image.set"},
	"DELETE /api/v1/images/{image}":       {mayAdmin, ofImage, "image.delete"},
	"POST /api/v1/images/{image}/restore": {mayAdmin, everything, "image.restore"},
	"POST /api/v1/images/{image}/retry":   {mayWrite, ofImage, "image.retry"},
	"POST /api/v1/images/{image}/sign":    {seeTiles, ofImage, "image.sign"},

	// The file's own thumbnail shows the tissue: see pictureScope.
	"GET /api/v1/images/{image}/associated/{kind}": {seeLabel, ofPicture, showLabel},
	"GET /api/v1/images/{image}/preview":           {seeLabel, ofPicture, showLabel},
	"GET /api/v1/images/{image}/thumbnail":         {seeTiles, ofPicture, ""},
	"GET /api/v1/images/{image}/region":            {seeTiles, ofPicture, ""},
	// Without labels the series has no patient data: see label.
	"GET /api/v1/images/{image}/dicom":           {seeLabel, ofPicture, showLabel},
	"GET /api/v1/images/{image}/references.json": {seeTiles, ofPicture, ""},
	// Recorded by the handler, before the first byte: see originalAPI.
	"GET /api/v1/images/{image}/file":    {mayFile, ofPicture, ""},
	"GET /api/v1/images/{image}/icc":     {seeTiles, ofPicture, ""},
	"GET /api/v1/images/{image}/icc/lut": {seeTiles, ofPicture, ""},
	"GET /dzi/{file}":                    {seeTiles, ofPicture, ""},

	"GET /iiif/{version}/{image}":                                   {seeTiles, ofPicture, ""},
	"GET /iiif/{version}/{image}/info.json":                         {seeTiles, ofPicture, ""},
	"GET /iiif/{version}/{image}/manifest.json":                     {seeTiles, ofPicture, ""},
	"GET /iiif/{version}/cases/{accession}/manifest.json":           {seeTiles, listed, ""},
	"GET /iiif/{version}/{image}/{region}/{size}/{rotation}/{file}": {seeTiles, ofPicture, ""},
	"GET /zoomify/{image}/ImageProperties.xml":                      {seeTiles, ofPicture, ""},

	// Attributes and instances depend on the right to labels: see dicomAPI.
	"GET /dicom-web/studies":                                                                      {seeTiles, listed, ""},
	"GET /dicom-web/series":                                                                       {seeTiles, listed, ""},
	"GET /dicom-web/instances":                                                                    {seeTiles, listed, ""},
	"GET /dicom-web/studies/{study}/series":                                                       {seeTiles, ofPicture, ""},
	"GET /dicom-web/studies/{study}/instances":                                                    {seeTiles, ofPicture, ""},
	"GET /dicom-web/studies/{study}/series/{series}/instances":                                    {seeTiles, ofPicture, ""},
	"GET /dicom-web/studies/{study}/metadata":                                                     {seeTiles, ofPicture, ""},
	"GET /dicom-web/studies/{study}/series/{series}/metadata":                                     {seeTiles, ofPicture, ""},
	"GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/metadata":                {seeTiles, ofPicture, ""},
	"GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frames}":         {seeTiles, ofPicture, ""},
	"GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path...}":      {seeTiles, ofPicture, ""},
	"GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frame}/rendered": {seeTiles, ofPicture, ""},
	"GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/rendered":                {seeTiles, ofPicture, ""},
	"GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/thumbnail":               {seeTiles, ofPicture, ""},
	"GET /dicom-web/studies/{study}/series/{series}/instances/{instance}":                         {seeTiles, ofPicture, ""},
	"GET /dicom-web/studies/{study}/series/{series}/thumbnail":                                    {seeTiles, ofPicture, ""},
	"GET /dicom-web/studies/{study}/thumbnail":                                                    {seeTiles, ofPicture, ""},
	"GET /dicom-web/studies/{study}/series/{series}":                                              {seeTiles, ofPicture, ""},
	"GET /dicom-web/studies/{study}":                                                              {seeTiles, ofPicture, ""},

	"GET /apiv1/databases":            {seeTiles, listed, ""},
	"POST /apiv1/databases":           {mayAdmin, everything, "store.add"},
	"GET /apiv1/databases/{store}":    {seeTiles, ofStore, ""},
	"POST /apiv1/databases/{store}":   {mayWrite, ofStore, "store.sync"}, // only admins may modify: see databaseAPI
	"PUT /apiv1/databases/{store}":    {mayAdmin, ofStore, "store.set"},
	"DELETE /apiv1/databases/{store}": {mayAdmin, everything, "store.remove"},

	// Without the right to labels the response shows the tissue only: see optionalLabel.
	"GET /thumb/{store}/{image}":                     {seeLabel, ofPicture, showLabel},
	"GET /thumb":                                     {seeLabel, ofPicture, showLabel},
	"GET /tileat/{store}/{image}":                    {seeTiles, ofPicture, ""},
	"GET /cutout/{store}/{image}/{name}":             {seeTiles, ofPicture, ""},
	"GET /ptiff-viewer":                              {seeTiles, ofPicture, ""},
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
	"GET /api/v1/auth/oidc/callback":                 {object: public}, // the provider's response is checked
	"GET /api/v1/auth/check":                         {object: public}, // answers 401 itself
	"POST /api/v1/auth/check":                        {object: public},
	"POST /api/v1/auth/revoke":                       {object: public}, // needs a proof
	"GET /api/v1/auth/revocations":                   {object: public}, // needs a proof
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
	"GET /api/v1/shares":                             {object: self},
	"POST /api/v1/shares":                            {object: self, act: "share.add"},
	"GET /api/v1/shares/{share}":                     {object: self},
	"DELETE /api/v1/shares/{share}":                  {object: self, act: "share.revoke"},
	"POST /api/v1/shares/{share}/open":               {object: public}, // needs the secret of the link
	"GET /api/v1/shares/{share}/view":                {object: public}, // needs the cookie of the link
	"GET /api/v1/grants":                             {mayAdmin, everything, ""},
	"POST /api/v1/grants":                            {mayAdmin, everything, "grant.add"},
	"DELETE /api/v1/grants/{grant}":                  {mayAdmin, everything, "grant.remove"},
	"GET /api/v1/audit":                              {mayAdmin, everything, showAudit},
	"GET /api/v1/audit/export":                       {mayAdmin, everything, "audit.export"},
}
