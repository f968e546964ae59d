"The site's settings for Sphinx; stal.site.building writes its sources and calls it."

import os
from configparser import ConfigParser
from pathlib import Path

settings = ConfigParser(delimiters=["="])
settings.read(Path(os.environ["STAL_SITE_PROJECT"], "settings.ini"), encoding="utf-8")
cfg = settings["DEFAULT"]

project = "stal"
version = release = cfg["version"]
author = cfg["author"]
copyright = cfg["copyright"]
language = "en"
smartquotes = False  # or --options would lose a dash

extensions = ["myst_nb", "sphinx.ext.mathjax", "sphinx_copybutton", "stal.site.terms"]
exclude_patterns = ["notebooks/**"]
nitpicky = True
suppress_warnings = ["toc.not_included"]  # pages that only other pages list

# Notebooks are shown as they were run; nothing runs here.
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"
nb_number_source_lines = False
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_enable_extensions = ["attrs_block", "attrs_inline", "dollarmath"]
myst_heading_anchors = 4
myst_all_links_external = False

html_theme = "furo"
html_title = f"stal {version}"
html_favicon = "static/favicon.svg"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "source_repository": cfg["git_url"],
    "source_branch": cfg["branch"],
    "top_of_page_buttons": [],
}
copybutton_exclude = ".linenos, .gp, .go"
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}, "chtml": {"scale": 1.0}}
