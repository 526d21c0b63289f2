import { useSession } from "../../api/session";
import { t } from "../../strings";
import { settingsTexts } from "../../strings/settings";
import { Checkbox } from "../../ui/choice";
import { Field, TextInput } from "../../ui/field";
import { FilterField } from "../../ui/filter-field";
import { Filters } from "../../ui/filters";
import { Select } from "../../ui/select";
import { type AuditFilters, KINDS } from "./filters";

const ALL = "";
const texts = settingsTexts.audit;

interface AuditFilterFieldsProps {
  filters: AuditFilters;
  onChange: (filters: AuditFilters) => void;
}

export function AuditFilterFields({ filters, onChange }: AuditFilterFieldsProps) {
  const isMember = useSession(({ session }) => session?.user.role === "member");
  const set = <Name extends keyof AuditFilters>(name: Name, value: AuditFilters[Name] | typeof ALL) => {
    const { [name]: _, ...others } = filters;
    onChange(value === ALL || value === undefined ? others : { ...others, [name]: value });
  };
  return (
    <>
      <Filters>
        <FilterField
          label={texts.action}
          type="search"
          placeholder={texts.actionHint}
          value={filters.action ?? ALL}
          onChange={(action) => set("action", action)}
        />
        <Field label={texts.kind}>
          <Select
            value={filters.subject_kind ?? ALL}
            onChange={(kind) => set("subject_kind", kind)}
            options={[
              { value: ALL, label: t.common.all },
              ...KINDS.map((value) => ({ value, label: value.replaceAll("_", " ") })),
            ]}
          />
        </Field>
        <FilterField
          label={texts.subjectId}
          value={filters.subject_id ?? ALL}
          onChange={(id) => set("subject_id", id)}
        />
        <Field label={texts.from}>
          <TextInput type="date" value={filters.from ?? ALL} onValueChange={(day) => set("from", day)} />
        </Field>
        <Field label={texts.to}>
          <TextInput type="date" value={filters.to ?? ALL} onValueChange={(day) => set("to", day)} />
        </Field>
      </Filters>
      <Checkbox
        label={texts.everyone}
        checked={filters.everyone ?? false}
        onChange={(checked) => set("everyone", checked || undefined)}
        reason={isMember ? texts.notEveryone : undefined}
      />
    </>
  );
}
