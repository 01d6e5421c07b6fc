"""source.py: just enough C++ to check rules on it: comments and literals away, functions found."""

import re

TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.S)


class Source:
    def __init__(self, text):
        self.text = text
        # The same lines and columns, without what stands in comments and literals.
        self.bare = TOKEN.sub(blank, text)
        self.bare_lines = self.bare.splitlines()

    def includes(self):
        for line, text in enumerate(self.text.splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', text)
            if match:
                yield line, match.group(1)


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def functions(source):
    """(first line, length in lines) of each outermost function body with its head."""
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, source.bare, flags=re.M)
    stack, head = [], 0
    for match in re.finditer(r"[{};]", text):
        place, sign = match.start(), match.group(0)
        if sign == "{":
            before = text[head:place]
            kind = "function" if is_function(before) and "function" not in stack else "other"
            stack.append(kind)
            if kind == "function":
                opened = head + len(before) - len(before.lstrip())
        elif sign == "}" and stack and stack.pop() == "function":
            first = text.count("\n", 0, opened) + 1
            yield first, text.count("\n", 0, place) + 2 - first
        head = place + 1


def is_function(before):
    if re.search(r"\b(?:namespace|class|struct|enum|union|extern)\b[^()]*$", before):
        return False
    return ")" in before and not re.search(r"=\s*$", before)
