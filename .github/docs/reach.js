// Accessibility that the theme lacks: levels for the sidebar's headings, names for its two sidebars, and keyboard focus for
// blocks that scroll sideways.
for (const heading of document.querySelectorAll("[role=heading]:not([aria-level])")) heading.ariaLevel = "2"
document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "Pages")
document.querySelector(".toc-drawer")?.setAttribute("aria-label", "On this page")

function reach() {
  for (const wide of document.querySelectorAll("pre, .table-wrapper")) {
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0
    else wide.removeAttribute("tabindex")
  }
}

addEventListener("resize", reach)
reach()
