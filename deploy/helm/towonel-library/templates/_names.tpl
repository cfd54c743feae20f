{{/*
Names and labels. The component is the chart's name without "towonel-": in the umbrella chart, where the alias is the
chart's name, it is the same.
*/}}
{{- define "towonel.component" -}}
{{- trimPrefix "towonel-" .Chart.Name -}}
{{- end }}

{{/* Name of what a component of this release makes; the argument is the root and the component's name. */}}
{{- define "towonel.nameOf" -}}
{{- $release := (index . 0).Release.Name -}}
{{- $component := index . 1 -}}
{{- if or (eq $release $component) (hasSuffix (printf "-%s" $component) $release) -}}
{{- $release | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" ($release | trunc 41 | trimSuffix "-") $component -}}
{{- end -}}
{{- end }}

{{- define "towonel.fullname" -}}
{{- .Values.fullnameOverride | default (include "towonel.nameOf" (list . (include "towonel.component" .))) -}}
{{- end }}

{{- define "towonel.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "towonel.fullname" .) -}}
{{- end }}

{{/* What selects the pods, and never changes: a Deployment's selector cannot. */}}
{{- define "towonel.selectorLabels" -}}
app.kubernetes.io/name: towonel-{{ include "towonel.component" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ include "towonel.component" . }}
{{- end }}

{{- define "towonel.labels" -}}
{{ include "towonel.selectorLabels" . }}
app.kubernetes.io/part-of: towonel
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end }}

{{- define "towonel.metadata" -}}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "towonel.labels" . | nindent 2 }}
{{- end }}

{{/* Image of a container: of the chart, or the one given as second item. */}}
{{- define "towonel.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}
{{- end }}
