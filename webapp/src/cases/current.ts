// The case that was opened last: previous and next slide in the viewer are then those of the case.

let slides: string[] = []; // ids, in the order of the case

export function openCase(ids: string[]): void {
  slides = ids;
}

export function leaveCase(): void {
  slides = [];
}

// caseSlides are the slides of the case that was opened last, if it has this one.
export function caseSlides(id: string): string[] | null {
  return slides.includes(id) ? slides : null;
}
