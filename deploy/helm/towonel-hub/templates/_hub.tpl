{{- define "towonel.hub.keysSecret" -}}
{{- .Values.keys.existingSecret | default (printf "%s-keys" (include "towonel.fullname" .)) -}}
{{- end }}

{{- define "towonel.hub.isSqlite" -}}
{{- if eq .Values.database.driver "sqlite" }}true{{ end -}}
{{- end }}
