// Messages for slides that cannot be opened.

import type { Problem } from "../api/client";
import { t } from "../strings";
import { icon, logo } from "../ui/icons";

export interface Failure {
  title: string;
  text: string;
  picture: SVGSVGElement;
  retry: boolean;
}

// failure is the message for a problem. A slide without permission is treated the same whether it
// exists or not.
export function failure(problem: Problem): Failure {
  switch (problem.status) {
    case 403: return { title: t.access.forbiddenTitle, text: t.access.forbiddenText, picture: icon("lock", 44), retry: false };
    case 404: return { title: t.viewer.noSlideTitle, text: t.viewer.noSlideText, picture: logo(48), retry: false };
    default: return { title: t.viewer.failedTitle, text: problem.detail, picture: icon("warning", 44), retry: true };
  }
}
