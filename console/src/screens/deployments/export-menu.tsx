import { Download } from "lucide-react";
import { codeTexts } from "../../strings/code";
import { Button } from "../../ui/button";
import { Menu } from "../../ui/menu";

const FORMATS = ["postman", "postman-environment", "openapi", "http"] as const;

/** Downloads of a deployment for other programs; none has a key in it. */
export function ExportMenu({ deploymentId }: { deploymentId: string }) {
  const download = (format: string) => {
    const link = document.createElement("a");
    link.href = `/node/deployments/${deploymentId}/export/?format=${format}`;
    link.download = "";
    link.click();
  };
  return (
    <Menu
      align="start"
      trigger={
        <Button>
          <Download size={14} aria-hidden />
          {codeTexts.export.open}
        </Button>
      }
      actions={FORMATS.map((format) => ({
        label: codeTexts.export.formats[format] ?? format,
        onSelect: () => download(format),
      }))}
    />
  );
}
