{{- define "ptiffstore.name" -}}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{- end }}

{{- define "ptiffstore.labels" -}}
app.kubernetes.io/name: ptiffstore
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "ptiffstore.selector" -}}
app.kubernetes.io/name: ptiffstore
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ptiffstore.image" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- define "ptiffstore.podSecurity" -}}
automountServiceAccountToken: false
serviceAccountName: {{ include "ptiffstore.name" . }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "ptiffstore.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "ptiffstore.environment" -}}
env:
  - name: PTIFFSTORE_DATABASE
    valueFrom: {secretKeyRef: {name: {{ .Values.database.secret | quote }}, key: url}}
  - {name: PTIFFSTORE_LOG_FORMAT, value: json}
  {{- if .Values.config }}
  - {name: PTIFFSTORE_CONFIG, value: /etc/ptiffstore/ptiffstore.yaml}
  {{- end }}
  {{- with .Values.s3.endpoint }}
  - {name: PTIFFSTORE_S3_ENDPOINT, value: {{ . | quote }}}
  {{- end }}
  {{- with .Values.s3.region }}
  - {name: PTIFFSTORE_S3_REGION, value: {{ . | quote }}}
  {{- end }}
  {{- if .Values.s3.pathStyle }}
  - {name: PTIFFSTORE_S3_PATH_STYLE, value: "true"}
  {{- end }}
  {{- if .Values.s3.ca }}
  - {name: PTIFFSTORE_S3_CA, value: /etc/ptiffstore-s3/ca.pem}
  {{- end }}
  {{- with .Values.s3.secret }}
  - name: AWS_ACCESS_KEY_ID
    valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: access-key}}
  - name: AWS_SECRET_ACCESS_KEY
    valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: secret-key}}
  {{- end }}
{{- end }}

{{- define "ptiffstore.mounts" -}}
- {name: data, mountPath: /data}
- {name: tmp, mountPath: /tmp}
{{- if .Values.config }}
- {name: config, mountPath: /etc/ptiffstore, readOnly: true}
{{- end }}
{{- if .Values.s3.ca }}
- {name: s3-ca, mountPath: /etc/ptiffstore-s3, readOnly: true}
{{- end }}
{{- end }}

{{- define "ptiffstore.volumes" -}}
- name: tmp
  emptyDir: {}
{{- if .Values.config }}
- name: config
  configMap: {name: {{ include "ptiffstore.name" . }}}
{{- end }}
{{- if .Values.s3.ca }}
- name: s3-ca
  configMap: {name: {{ .Values.s3.ca | quote }}}
{{- end }}
{{- end }}
