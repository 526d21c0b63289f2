import { useReactFlow } from "@xyflow/react";
import { type RefObject, useCallback } from "react";

const TRIES = 10;

/** Put the focus on nodes of the canvas or the list, and bring them into view. */
export function useNodeFocus(area: RefObject<HTMLElement | null>) {
  const flow = useReactFlow();
  const elementOf = useCallback(
    (id: string) => area.current?.querySelector<HTMLElement>(`[data-id="${CSS.escape(id)}"]`),
    [area],
  );
  const reveal = useCallback(
    (id: string) => {
      const element = elementOf(id);
      if (!element || !area.current || isWithin(element, area.current)) return;
      if (!element.classList.contains("react-flow__node")) element.scrollIntoView({ block: "nearest" });
      else void flow.fitView({ nodes: [{ id }], maxZoom: flow.getZoom(), minZoom: flow.getZoom() });
    },
    [area, flow, elementOf],
  );
  const focus = useCallback(
    (id: string) => {
      // A new node is shown once the canvas has measured it.
      const attempt = (left: number) => {
        const element = elementOf(id);
        element?.focus({ preventScroll: true });
        if (element && document.activeElement === element) reveal(id);
        else if (left > 0) requestAnimationFrame(() => attempt(left - 1));
      };
      attempt(TRIES);
    },
    [elementOf, reveal],
  );
  const fit = useCallback(() => void flow.fitView(), [flow]);
  return { focus, reveal, fit };
}

function isWithin(element: Element, area: Element): boolean {
  const [inner, outer] = [element.getBoundingClientRect(), area.getBoundingClientRect()];
  return (
    inner.left >= outer.left &&
    inner.right <= outer.right &&
    inner.top >= outer.top &&
    inner.bottom <= outer.bottom
  );
}
