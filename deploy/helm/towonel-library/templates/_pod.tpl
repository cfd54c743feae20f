{{/* Parts of a pod that are the same for every program. */}}

{{- define "towonel.podMetadata" -}}
labels:
  {{- include "towonel.labels" . | nindent 2 }}
  {{- with .Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
No service links: Kubernetes would set TOWONEL_HUB_PORT and others of a Service named towonel-hub, and a program that
does not know a variable of its own prefix ends.
*/}}
{{- define "towonel.podDefaults" -}}
serviceAccountName: {{ include "towonel.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "towonel.podSecurity" . | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "towonel.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "towonel.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* One pod a node and zone, as far as there are some: that is no reason not to run. */}}
{{- define "towonel.topologySpread" -}}
{{- if .Values.topologySpread.enabled }}
topologySpreadConstraints:
  {{- range .Values.topologySpread.topologyKeys }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "towonel.selectorLabels" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Probes by HTTP; a database that migrates, or is away, does not end the process: /livez answers meanwhile. */}}
{{- define "towonel.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: health}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: health}
  initialDelaySeconds: {{ .Values.readinessDelaySeconds | default 0 }}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

{{/* Time for load balancers and kube-proxy to learn that this pod ends, before it refuses anybody. */}}
{{- define "towonel.lifecycle" -}}
lifecycle:
  preStop:
    sleep:
      seconds: {{ .Values.preStopSeconds }}
{{- end }}

{{/* The drain, what comes before it, and what each program does after it. */}}
{{- define "towonel.gracePeriod" -}}
{{- add .Values.preStopSeconds .Values.drainSeconds 10 -}}
{{- end }}

{{/* A number as it was written: Helm reads large ones as 1e+07. */}}
{{- define "towonel.scalar" -}}
{{- if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end }}

{{/* Variables that the user sets: settings by name, secrets by reference, and others of Kubernetes' own form. */}}
{{- define "towonel.userEnv" -}}
{{- range $name, $value := .Values.env }}
- name: {{ $name }}
  value: {{ include "towonel.scalar" $value | quote }}
{{- end }}
{{- range $name, $secret := .Values.secretEnv }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret.name }}
      key: {{ $secret.key }}
{{- end }}
{{- if or .Values.ca.configMap .Values.ca.secret }}
- name: SSL_CERT_FILE
  value: /etc/towonel/ca/{{ .Values.ca.key }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "towonel.userMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if or .Values.ca.configMap .Values.ca.secret }}
- name: ca
  mountPath: /etc/towonel/ca
  readOnly: true
{{- end }}
{{- end }}

{{- define "towonel.userVolumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- if .Values.ca.configMap }}
- name: ca
  configMap: {name: {{ .Values.ca.configMap }}}
{{- else if .Values.ca.secret }}
- name: ca
  secret: {secretName: {{ .Values.ca.secret }}}
{{- end }}
{{- end }}
