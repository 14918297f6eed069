# ruff: noqa: E501  (a table of programs, a row each)
"""Modules of the standard library, each with a real use of it: what follows `def drive():` behind the module's source.

The uses avoid what differs between versions of the interpreter, and return plain data.
"""

DRIVERS = {
    "textwrap": "return [wrap('one two three four', 9), dedent('  a\\n    b'), shorten('a b c d e f', 9), indent('a', '> ')]",
    "heapq": "h = [3, 1, 2]\nheapify(h)\nreturn [nsmallest(2, h), nlargest(1, h), list(merge([1, 4], [2]))]",
    "bisect": "return [bisect([1, 2, 3], 2), bisect_left([1, 2, 3], 2), bisect_right([{'k': 1}], 1, key=lambda d: d['k'])]",
    "fractions": "return [str(Fraction(1, 3) + Fraction('2/7')), str(Fraction(0.5).limit_denominator(3)), Fraction(7, 2) // 1]",
    "statistics": "return [str(mean([1, 2, 4])), median([3, 1, 2]), mode('aab'), round(stdev([1, 2, 4]), 6), quantiles([1, 2, 3, 4])]",
    "string": "return [Template('$a ${b} $$').substitute(a=1, b=2), Formatter().format('{0:>3}{x!r}', 1, x='y'), capwords('a b')]",
    "calendar": "return [monthrange(2024, 2), isleap(1900), TextCalendar(6).formatmonth(2024, 2), weekday(2024, 5, 1)]",
    "colorsys": "return [rgb_to_hls(0.2, 0.4, 0.4), hsv_to_rgb(0.5, 0.5, 0.4), yiq_to_rgb(0.1, 0.2, 0.3)]",
    "difflib": "return [list(unified_diff(['a', 'b'], ['a', 'c'], lineterm='')), list(ndiff(['abc'], ['abd'])), "
    "get_close_matches('appel', ['ape', 'apple'])]",
    "fnmatch": "return [filter(['a.py', 'b.c'], '*.py'), fnmatch('abc', '[!b]?c'), translate('x*[')]",
    "shlex": "return [split('a \"b c\" d\\\\ e # f', comments=True), quote(\"it's\"), join(['a b', 'c']), list(shlex('x=1;y'))]",
    "graphlib": "s = TopologicalSorter({'c': {'b'}, 'b': {'a'}})\nreturn list(s.static_order())",
    "ipaddress": "return [str(ip_network('10.0.0.0/30')[2]), [str(h) for h in ip_network('10.0.0.0/30').hosts()], "
    "str(ip_address('::1').exploded), ip_address('10.1.1.1').is_private]",
    "json.decoder": "return [JSONDecoder().decode('{\"a\": [1, 2.5, null, \"\\\\u00e9\"]}'), JSONDecoder(strict=False).raw_decode('[1] x')]",
    "json.encoder": "return [JSONEncoder(indent=1, sort_keys=True).encode({'b': [1, None], 'a': 'é\"'}), py_encode_basestring_ascii('é')]",
    "base64": "return [b32encode(b'abc').decode(), a85encode(b'hello').decode(), b85decode('Xk~0{').hex(), urlsafe_b64encode(b'??').decode()]",
    "copy": "a = [1, {'b': (2, [3])}]\na.append(a)\nb = deepcopy(a)\nreturn [b[1]['b'][1], b[2] is b, copy({1, 2}) == {1, 2}]",
    "dataclasses": "@dataclass(order=True, frozen=True)\nclass P:\n    x: int\n    y: list = field(default_factory=list, compare=False)\n"
    "p = P(1)\nreturn [repr(replace(p, x=2)), p < P(2), asdict(p), [f.name for f in fields(P)]]",
    "datetime": "a = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)\nreturn [a.isoformat(), str(a + timedelta(days=1, seconds=3)), "
    "date.fromisoformat('2024-05-01').isocalendar()[1], a.strftime('%Y %j')]",
    "enum": "class C(Enum):\n    A = auto()\n    B = auto()\nclass F(Flag):\n    X = 1\n    Y = 2\n"
    "return [C(2).name, C['A'].value, len(C), (F.X | F.Y).value, F.X in F.X | F.Y]",
    "functools": "@lru_cache(maxsize=2)\ndef f(x):\n    return x\nf(1), f(1)\n@singledispatch\ndef g(x):\n    return 'o'\n"
    "@g.register\ndef _(x: int):\n    return 'i'\nreturn [f.cache_info().hits, g(1), g('x'), partial(pow, 2)(3)]",
    "html": "return [escape('<a href=\"x\">'), unescape('&lt;&eacute;&#x41;&nosuch;')]",
    "html.parser": "out = []\nclass P(HTMLParser):\n    def handle_starttag(self, tag, attrs):\n        out.append([tag, attrs])\n"
    "    def handle_data(self, data):\n        out.append(data)\nP().feed('<p class=\"a\">x &amp; y<br/></p><!-- c -->')\nreturn out",
    "http.cookies": "c = SimpleCookie('a=1; b=\"x y\"')\nc['d'] = 'é;'\nc['d']['path'] = '/'\nreturn [c.output(), c['a'].value]",
    "operator": "return [itemgetter(0, 2)('abc'), attrgetter('real')(3), methodcaller('upper')('a'), countOf([1, 2, 1], 1)]",
    "pprint": "return [pformat({'a': list(range(40)), 'b': ('x' * 90,), 'c': {1, 2}}, width=40, compact=True), isreadable([1])]",
    "queue": "q = PriorityQueue(3)\nq.put((2, 'b'))\nq.put_nowait((1, 'a'))\nout = [q.get(), q.qsize()]\ntry:\n    Queue().get(timeout=0.001)\n"
    "except Empty:\n    out.append('empty')\nreturn out",
    "quopri": "return [encodestring(b'a=\\xe9 b\\n').decode(), decodestring(b'a=3D=\\n').hex()]",
    "reprlib": "class N:\n    @recursive_repr()\n    def __repr__(self):\n        return f'N({self.x!r})'\nn = N()\nn.x = n\n"
    "return [repr(list(range(99))), repr({'a': {1, 2}}), n.__repr__()]",
    "sched": "out = []\ns = scheduler(lambda: 0, lambda t: None)\ns.enter(0, 2, out.append, ('b',))\ns.enter(0, 1, out.append, ('a',))\n"
    "s.run()\nreturn out",
    "tokenize": "text = iter(['def f(x):\\n', '    return x + 1  # c\\n'])\nt = list(generate_tokens(lambda: next(text, '')))\n"
    "return [x.string for x in t]",
    "uuid": "u = UUID('12345678123456781234567812345678')\nreturn [str(u), u.urn, u.version, str(uuid5(NAMESPACE_DNS, 'a.b')), u < UUID(int=0)]",
    "urllib.parse": "return [urlsplit('http://u:p@h:8/p;x?q=1#f').port, quote('a b/é'), parse_qs('a=1&a=2&b=%20'), "
    "urljoin('http://a/b/c', '../d'), urlencode({'k': ['v', 'w']}, doseq=True), unquote('%C3%A9')]",
    "weakref": "class C:\n    pass\nd = WeakValueDictionary()\nc = C()\nd['a'] = c\nout = [len(d), 'a' in d]\ndel c\n"
    "k = WeakKeyDictionary()\nx = C()\nk[x] = 1\nfinalize(x, out.append, 'gone')\ndel x\nreturn [*out, len(d), len(k)]",
    "contextlib": "out = []\nwith ExitStack() as s:\n    s.callback(out.append, 'end')\n    s.enter_context(suppress(KeyError))\n"
    "    out.append('in')\n    {}[1]\n@contextmanager\ndef m():\n    yield 1\nwith m() as x:\n    out.append(x)\nreturn out",
    "collections": "c = Counter('abca')\no = OrderedDict(a=1, b=2)\no.move_to_end('a')\nP = namedtuple('P', 'x y', defaults=[2])\n"
    "m = ChainMap({'a': 1}, {'b': 2})\nreturn [c.most_common(1), list(o), P(1)._asdict(), (c - Counter('a'))['a'], m['b']]",
    "ast": "t = parse('def f(a, *b):\\n    return [x for x in b if x > a]')\nreturn [unparse(t), literal_eval('{1: [2, (3,)]}'), "
    "dump(parse('a+1', mode='eval')), len(list(walk(t)))]",
    "cmd": "class S(Cmd):\n    def do_add(self, line):\n        self.sum = sum(map(int, line.split()))\n    def do_quit(self, line):\n"
    "        return True\ns = S()\nreturn [s.onecmd('add 1 2'), s.sum, s.onecmd('quit'), s.parseline('?add')]",
    "codeop": "return [compile_command('if a:') is None, compile_command('a = 1') is None, CommandCompiler()('x = (') is None]",
    "configparser": "c = ConfigParser()\nc.read_string('[a]\\nx = 1\\ny = %(x)s0\\n  more\\n[b]\\nz: on\\n')\n"
    "return [c.get('a', 'y'), c.getint('a', 'x'), c.getboolean('b', 'z'), c.sections(), c.has_option('b', 'q')]",
    "getopt": "return [getopt(['-a', '1', '--long=x', 'rest'], 'a:b', ['long=']), gnu_getopt(['r', '-b'], 'b')]",
    "gettext": "return [c2py('n!=1 && n<5 ? 1 : 2')(3), NullTranslations().ngettext('a', 'b', 2), NullTranslations().gettext('a')]",
    "optparse": "p = OptionParser(prog='p')\np.add_option('-n', '--num', type='int', default=3, help='a %default')\n"
    "o, a = p.parse_args(['-n', '4', 'x'])\nreturn [o.num, a, p.format_help()]",
    "posixpath": "return [join('/a', '../b'), normpath('/a/./b//../c'), splitext('a.tar.gz'), relpath('/a/b', '/a/c'), commonpath(['/a/b', '/a/c'])]",
    "ntpath": "return [join('c:\\\\a', 'b'), splitdrive('c:\\\\a'), normpath('a\\\\..\\\\b/c'), isabs('c:\\\\x'), basename('a\\\\b')]",
    "pickletools": "import io\nout = io.StringIO()\ndis(b'\\x80\\x04]\\x94(K\\x01K\\x02e.', out)\nreturn [out.getvalue(), len(optimize(b'\\x80\\x04]\\x94.'))]",
    "plistlib": "b = dumps({'a': [1, 2.5, True, b'x'], 'd': 'é'})\nreturn [loads(b), b.count(b'key'), loads(dumps([1], fmt=FMT_BINARY))]",
    "email.header": "h = Header('é', 'utf-8')\nreturn [h.encode(), decode_header('=?utf-8?b?w6k=?= x')[1], str(make_header(decode_header('a')))]",
    "_strptime": "return [list(_strptime_time('2024-02-29 12', '%Y-%m-%d %H'))[:4], _strptime('5 May 99', '%d %b %y')[0][0]]",
}  # fmt: skip
