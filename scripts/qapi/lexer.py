# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a schema file: expressions in JSON-like text, and their comments.

An expression is an object of JSON with strings in single quotes. A comment
that begins and ends with a line "##" documents the expression after it:

    ##
    # @name:
    #
    # Text, in paragraphs.
    #
    # @member: text about a member; further lines are indented
    #
    # Returns: text
    # Errors: text
    # Features:
    # @feature: text
    ##
"""

import re

TOKEN = re.compile(r"\s+|(?P<punct>[{}\[\]:,])|'(?P<str>[^'\\\n]*)'"
                   r"|(?P<word>true|false)\b|(?P<comment>#[^\n]*)")
MEMBER = re.compile(r'@([\w.*-]+):\s*(.*)$')
TAGS = ('Returns', 'Errors', 'Since', 'Note')


class SchemaError(Exception):
    """Something is wrong with the schema; the text says where and what."""


class Doc:
    """What one comment says about the expression after it."""

    def __init__(self, name):
        self.name = name
        self.text = []          # paragraphs
        self.members = {}       # name -> text
        self.features = {}      # name -> text
        self.tags = {}          # 'Returns' -> text


def _join(old, line):
    return (old + ' ' + line).strip() if line else old


def parse_doc(lines, where):
    """A Doc from the lines between two "##", without their "# "."""
    match = MEMBER.match(lines[0]) if lines else None
    if not match or match.group(2):
        raise SchemaError('%s: the comment must begin with "# @name:"' % where)
    doc = Doc(match.group(1))
    target, paragraph, features = None, '', False
    for line in lines[1:]:
        tag = re.match(r'(%s):\s*(.*)$' % '|'.join(TAGS), line)
        member = MEMBER.match(line)
        if line == 'Features:':
            features, target = True, None
        elif member:
            store = doc.features if features else doc.members
            target = (store, member.group(1))
            if target[1] in store:
                raise SchemaError('%s: @%s is told twice' % (where, target[1]))
            store[target[1]] = member.group(2)
        elif tag:
            target = (doc.tags, tag.group(1))
            doc.tags[target[1]] = tag.group(2)
        elif not line:
            if paragraph:
                doc.text.append(paragraph)
            target, paragraph = None, ''
        elif target:
            target[0][target[1]] = _join(target[0][target[1]], line.strip())
        else:
            paragraph = _join(paragraph, line)
    if paragraph:
        doc.text.append(paragraph)
    return doc


class Reader:
    """Tokens of one file, and the expressions made of them."""

    def __init__(self, path, text):
        self.path, self.text, self.pos, self.line = path, text, 0, 1
        self.doc_lines = None    # inside a "##" comment
        self.docs = []           # comments since the last expression
        self.token = self.value = None
        self.advance()

    def where(self):
        return '%s:%d' % (self.path, self.line)

    def _comment(self, text):
        if text == '##':
            if self.doc_lines is None:
                self.doc_lines = []
            else:
                self.docs.append(parse_doc(self.doc_lines, self.where()))
                self.doc_lines = None
        elif self.doc_lines is not None:
            self.doc_lines.append(text[2:] if text.startswith('# ') else '')

    def advance(self):
        while self.pos < len(self.text):
            match = TOKEN.match(self.text, self.pos)
            if not match:
                raise SchemaError('%s: stray text' % self.where())
            self.pos = match.end()
            self.line += match.group(0).count('\n')
            if match.group('comment'):
                self._comment(match.group('comment'))
                continue
            for kind in ('punct', 'str', 'word'):
                if match.group(kind) is not None:
                    self.token, self.value = kind, match.group(kind)
                    return
        if self.doc_lines is not None:
            raise SchemaError('%s: a "##" comment does not end'
                              % self.where())
        self.token = self.value = None

    def expect(self, punct):
        if (self.token, self.value) != ('punct', punct):
            raise SchemaError('%s: expected "%s"' % (self.where(), punct))
        self.advance()

    def at(self, punct):
        return (self.token, self.value) == ('punct', punct)

    def read_value(self):
        if self.at('{'):
            return self._object()
        if self.at('['):
            return self._array()
        if self.token not in ('str', 'word'):
            raise SchemaError('%s: expected a value' % self.where())
        value = self.value if self.token == 'str' else self.value == 'true'
        self.advance()
        return value

    def _object(self):
        out = {}
        self.expect('{')
        while not self.at('}'):
            if self.token != 'str':
                raise SchemaError('%s: expected a key' % self.where())
            key = self.value
            if key in out:
                raise SchemaError('%s: key %s twice' % (self.where(), key))
            self.advance()
            self.expect(':')
            out[key] = self.read_value()
            if not self.at('}'):
                self.expect(',')
        self.advance()
        return out

    def _array(self):
        out = []
        self.expect('[')
        while not self.at(']'):
            out.append(self.read_value())
            if not self.at(']'):
                self.expect(',')
        self.advance()
        return out

    def expressions(self):
        """Yield (expression, its Doc or None, where it stands)."""
        while self.token is not None:
            doc, self.docs = (self.docs[-1] if self.docs else None), []
            where = self.where()
            if not self.at('{'):
                raise SchemaError('%s: expected "{"' % where)
            yield self._object(), doc, where
