"""What the words of a prompt say about how long, and for whom, its answer holds.

Pure, and one dictionary look-up a word: a prompt of 15 words takes some 20 µs. A *cue* is a name
for words that mean much the same here (``now``: "right now", "currently", …). Cues speak through
fitted weights (``cacheability.py``); this file only says which ones a text holds, and where.

* Quoted text is somebody's words about something, not the request: "translate 'and the second
  one?'" holds no cue of context. So quotes, fenced code and what follows a colon and a line break
  are read over; that they were there is a cue of its own.
* What opens a prompt counts apart from what stands inside: "book a table" asks for an effect,
  "how do I book a table" for advice. Politeness ("could you please") is skipped before looking.
* Only the first ``LONGEST`` words are read: a page of pasted text says nothing about the request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# Raised whenever a cue is added, dropped or means something else: fitted weights are bound to it.
WORDS_VERSION = 2
LONGEST = 64
# A little more than LONGEST words, so that a megabyte of text costs no more than a page.
LONGEST_TEXT = 1024
# "and the second one?", "is it though": with more words the thing meant usually stands in the text.
SHORT = 8

# Cues that may stand anywhere.
ANYWHERE: Mapping[str, str] = {
    "now": """
        now|right now|just now|currently|at the moment|at this moment|at present|today|
        today's|tonight|this morning|this afternoon|this evening|tomorrow|so far|
        at this hour|this minute|real time|as we speak|heute|jetzt|morgen|ahora|hoy|
        aujourd'hui|maintenant|oggi|adesso""",
    "recent": """
        latest|newest|recent|recently|lately|this week|this weekend|this month|
        this season|last night|yesterday|yesterday's|last week|last weekend|past week|
        past few days|next week|next weekend|next month|upcoming|yet|trending|standings|
        news|headlines|these days|any update|any updates|update on|this year|
        just released|most recently|this week's|past couple of weeks|in stock|on sale|
        job openings|last meeting|breaking|rumors|rumours""",
    "measured": """
        weather|forecast|temperature|degrees|rain|raining|snow|snowing|sunny|windy|
        humid|humidity|uv index|pollen|air quality|aqi|tide|tides|surf|traffic|
        congestion|wetter|météo|clima|tiempo|temps""",
    "quoted_price": """
        stock price|share price|stock|stocks|shares|bitcoin|btc|ethereum|eth|crypto|
        exchange rate|spot price|trading at|nasdaq|dow|dow jones|nikkei|ftse|market cap|
        usd|eur|gold price|oil price|gas price|gas prices|mortgage rate|mortgage rates""",
    "under_way": """
        score|live score|winning|delayed|delays|delay|departures|arrivals|queue|
        wait time|outage|down|offline|maintenance|status|on time|watching|streaming|
        open now|closed|shut|live|still open|ahead""",
    "clock": """
        what time is it|what's the time|whats the time|time is it|current time|
        what day is it|what day is today|the date|today's date|what date|what is the time|
        wie spät|qué hora|quelle heure|time now""",
    "changing": """
        president|prime minister|ceo|chancellor|governor|mayor|minister|coach|owner|
        owns|population|current|cost|costs|price|prices|fee|fees|charge|charges|
        charged|salary|wage|rent|hours|opening hours|open|cheapest|best|top|
        most popular|richest|tallest|net worth|policy|version|record|visa|tax|taxes|
        law|legal|rate|rates|limit|limits|how old is|married to|dating|restaurant|
        restaurants|hotel|hotels|places to visit|reviews|recommend|near""",
    "product": """
        app|account|accounts|card|cards|website|subscription|password|pin|transfer|
        transfers|refund|order|bank|settings|login|top up|top-up|atm|delivery|
        shipping|warranty|plan|currency|currencies|payment|payments|verify|identity|
        iphone|android|windows|google|facebook|instagram|excel|outlook|netflix|amazon""",
    "mine": "my|mine|our|ours|mein|meine|meinen|meiner|mon|ma|mes|mi|mis",
    "asker": "i|i'm|im|i've|ive|i'd|i'll|me|we|we're|we've|us|myself",
    "my_state": """
        my account|my balance|my card|my order|my package|my parcel|my refund|my payment|
        my transfer|my calendar|my schedule|my email|my emails|my inbox|my messages|
        my flight|my bill|my bills|my list|my location|my phone|my car|my meeting|
        my meetings|my appointment|my reservation|my booking|my money|my cash|my savings|
        my checking|my credit|my paycheck|my pin|my name|my profile|my subscription|
        my plan|my ticket|my application|my claim|my team|my manager|my timesheet|my pto|
        my vacation|my leave|my portfolio|my house|my home|my front door|my address|
        my alarm|my alarms|my reminders|my bank|my transactions|my statement|my spending|
        my shift|my boss|my reading|my tracker|my usage|my data|my files|my notes|
        my photos|my playlist|my deposit|my top up|my rewards|my points|my insurance|
        my prescription|my luggage|my steps|my lab results|my results|mein kontostand|
        mi saldo|mon compte|mi cuenta""",
    "here": """
        near me|nearby|nearest|closest|from here|around here|where am i|my location|
        my area|close to me|my way|here""",
    "do_i": """
        do i have|do i owe|did i|am i|have i|how much do i|how much did i|
        how much have i|how many do i|when do i|when is my|when's my|where's my|wheres my|
        where is my|what's my|whats my|what is my|what are my|what was my|show my|
        show me my|is my|are my|has my|have my|was my|why was my|why is my|why did my|
        did my|who am i|i was charged|i was|i made|i got|i paid|i ordered|i've been|
        i have been|do you know my|remind me what|about me|my last|my next|my current|
        my recent""",
    "trouble": """
        pending|declined|still|hasn't|haven't|didn't|not working|isn't|missing|wrong|
        not showing|not arrived|never received|failed|reverted|twice|stuck|waiting|
        rejected|don't recognize|don't recognise|did not|does not|hasnt|doesn't|won't|
        can't find|stolen|lost|cancelled""",
    "advice": """
        how do i|how can i|how to|how do you|how should i|how would i|can i|could i|
        may i|what is the best way|what's the best way|best way to|how do we|where can i|
        where do i|should i|do you|is there a way|what do i need|what should i|
        is it possible|are there|how does|how do|how is|how are|what happens|what is a|
        what is an|what are|what does|why do|why does|why are|what makes|
        difference between|meaning of|how long does it take|what do i do|what should i do|
        what can i do|what do i need to do|what must i do|what steps|the steps|steps to|
        process of|process for|procedure|option to|instructions|guide me|explain how|show me how|
        tell me how to|teach me|learn|how i can|how i could|how i would|how long do|how long is|
        how long will|how many days will|how much does|how much do you|where can i find|
        where would i|what happens if|what is the charge|what is the fee|is there a fee|
        do i have to|do i need to|am i allowed""",
    "in_general": """
        in general|generally|usually|typically|typical|normally|example|examples|template|
        sample|meaning|stand for|history of|difference|mean|means|works|used for|invented|
        called|types of|kinds of|kind of|pros and cons|advantages|benefits of|cause|causes|
        symptoms|recipe|facts about|people|someone|person|children|kids|women|men|humans|
        animals|book|books|movie|film|essay""",
    "code": """
        python|java|javascript|js|c|sql|bash|script|function|regex|code|excel|docker|git|api|
        html|css|algorithm|array|string|query|kotlin|rust|kubectl|linux|shell|class|method|
        database|json|loop""",
    "units": """
        divided by|times|plus|minus|percent|cups|cup|quarts|feet|inches|miles|meters|metres|
        grams|ounces|pounds|tablespoons|teaspoons|gallons|celsius|fahrenheit|square root|
        convert|calories|substitute|instead of|cook|bake|boil|timezone|time zone|capital|
        synonym|spell|translate""",
    "closing": """
        appreciate|appreciated|thanks|thank you|bye|goodbye|take it easy|talk to you|talk later|
        speak with you|speaking with you|talking to you|chatting with you|see you|later|
        good night|have a good|have a nice|had fun|glad|helped|helpful|your help|say goodbye|
        nice to|great talking|you are awesome|you're great|good job|well done|how are you|
        how've you been|how you've been|how's it going|doing today|your day|you been""",
    "assistant": """
        your name|your boss|your maker|who made you|made you|created you|programmed you|
        you work for|your employer|are you|you from|your hobbies|you enjoy|your age|old are you|
        you born|yourself|your birthday|you like|do you have|your favorite|your favourite|
        you think|your opinion|you do|you call home|you live|can you do|you know""",
    "made_up": """
        joke|jokes|random|randomly|at random|another joke|surprise|coin|dice|die|d20|
        roll|flip|toss|riddle|fun fact|different|fresh|heads or tails|laugh|bored|
        of the day|funny|entertain|amuse|tongue twister|icebreaker|inspire|
        interesting fact|shuffle|something new|something fun|something interesting|
        something funny|limerick|witz|chiste|blague|fact|make up|come up with|
        twenty questions|20 questions|trivia|lucky|never heard|not the usual|fortune""",
    "more_of_it": """
        another|another one|one more|a new one|new one|a different|again|more|else|
        anything else|other ideas|any others|others|once more|noch ein|noch einen|otro|
        otra|encore""",
    "points_back": """
        that|it|this|these|those|them|they|he|she|him|his|her|it's|its|that's|
        thats|he's|she's|they're|das|es|le|lui|eso|esto""",
    "points_at_text": """
        attached|attachment|above|below|screenshot|pasted|this image|this picture|
        this photo|the image|the picture|the photo|this document|this file|this article|
        this text|this code|this email|the document|the file|the code|this pdf|the text|
        the following|following|this passage|the article|the passage|this paragraph""",
    "talked": """
        you said|you mentioned|you told|you just|you gave|i said|i told|i mentioned|
        we discussed|we talked|earlier|previous|previously|your answer|your list|
        your last|as before|last answer|i meant|not what i|our conversation|you suggested|
        your suggestion|you wrote|i asked|first one|second one|third one|last one|
        other one|the first|the second|the third|the last|the other|the two|both|either|
        option|the former|the latter|instead|same|same thing|the rest|that one|this one""",
    "what_about": """
        what about|how about|and then|why not|what if|what else|like what|for example|
        tell me more|go on|such as|makes sense|sounds good|sounds great""",
    "effect": """
        to my list|to my shopping list|my to do list|on my calendar|to my calendar|
        in my calendar|an alarm|a timer|a reminder|an appointment|a meeting with|
        a message to|an email to|a text to|the lights|the light|the volume|the thermostat|
        the tv|a taxi|a cab|an uber|a table for|a reservation|a flight|a room|
        my reservation|my subscription|a ticket|the meeting|to production|to staging|
        the door|the garage|a playlist|a call|whisper mode|your voice|your accent|
        your language|your name|speak|call me""",
}  # fmt: skip

# Cues that count only where the request begins.
OPENING: Mapping[str, str] = {
    "order": """
        add|adjust|alert|answer|approve|archive|arrange|assign|ban|block|book|
        broadcast|buy|call|cancel|change|charge|check me in|clear|close|commit|
        confirm|connect|copy|crank|deactivate|decline|decrease|delete|deliver|deploy|
        dial|dim|dismiss|dispatch|download|drop|email|enable|disable|erase|execute|
        extend|fetch|file|forward|freeze|get me|get the|go ahead|grant|hail|hang up|
        increase|install|invite|kick off|kill|launch|lock|log|log me|lower|mail|
        make a reservation|make a call|make a payment|mark|merge|message|move|mute|
        navigate|notify|open|order|page|park|pause|pay|ping|place|play|post|print|
        provision|publish|purchase|push|put|raise|reboot|rebook|record|redeem|refund|
        register|reject|release|remind|remind me|remove|rename|renew|reorder|reply|
        report|request|reschedule|reserve|reset|restart|restore|resume|return|revoke|
        ring|roll back|rollback|run|save|scale|schedule|send|set|ship|shut|shut down|
        sign me|skip|snooze|spin up|start|stop|stream|submit|subscribe|switch|sync|
        tag|take me|terminate|text|top up|track down|transfer|trigger|turn|tweet|
        unblock|unfreeze|unlock|unmute|unsubscribe|update|upgrade|upload|vote|wake|
        wake me|water|whisper|wire|withdraw|schicke|stelle|überweise|buche|envía|
        reserva|apaga|envoie|réserve|i want you to|i need you to|i want to book|
        i need to book|i'd like to book|i would like to book|i need a|i want to cancel|
        i need to cancel|i need to call|i'd like to order|i want to order|
        i need to schedule|i want to schedule|find me""",
    "writing": """
        write|draft|compose|translate|explain|summarize|summarise|list|describe|define|
        compare|classify|rewrite|correct|calculate|convert|solve|name|identify|extract|
        analyze|analyse|give an example|create a|design|outline|suggest|provide|
        generate a|code|implement|plan|spell|paraphrase|identify which|what is|
        what's the|who was|who wrote|who invented|when did|when was|where was|how many|
        tell me about|tell me how|tell me what|who is|where is|why is""",
    "chance": """
        flip|toss|roll|pick|choose|surprise|shuffle|draw|spin|tell me a|
        tell me another|give me a|give me another|tell me something|say something|
        let's play|lets play|got any|know any|make me|i'm bored|im bored|ask me|another|
        random|hit me|one more|gimme|what should i|new""",
    "reply": """
        and|but|or|so|also|then|yes|no|yeah|yep|nope|sure|ok|okay|maybe|right|
        exactly|actually|oh|ah|hmm|hm|wow|well|great|perfect|awesome|nice|cool|
        interesting|really|i see|i agree|i think|i don't|i know|i did|i do|i am|
        i have|i like|i love|i mean|i would|i could|not|still|because|of course|
        agreed|correct|wrong|true|never mind|nevermind|haha|lol|good|no thanks|thats|
        that's|that|it|it's|they|he|she|this|those|these|y|et|und|ja|nein|sí|
        oui|non|are they|is it|is that|are those|does it|does that|do they|did they|
        can it|can they|could that|what are they|which one|which ones|why|how so|
        which of|both""",
    "greeting": """
        hi|hello|hey|good morning|good night|good evening|good afternoon|thanks|
        thank you|bye|goodbye|how are you|hiya|howdy|nice to meet|see you|later|cheers|
        test""",
    "is_it": "is|are|was|were|will|does|do|did|has|have|can|could|should|would",
    "how": "how",
    "what": "what|what's|whats|which",
    "who": "who|who's|whos",
    "when": "when|when's",
    "where": "where|where's|wheres",
    "why": "why",
}  # fmt: skip

# Said before a request without being part of it.
_POLITE = (
    "please", "can you", "could you", "would you", "will you", "can u", "hey", "ok computer",
    "i want to", "i need to", "i'd like to", "i would like to", "i want you to", "i need you to",
    "you need to", "go ahead and", "just", "hi", "hello", "kindly", "ok", "okay", "now", "alexa",
    "siri", "help me", "let's", "lets", "pls",
)  # fmt: skip

_QUOTED = re.compile(
    r"```.*?(?:```|\Z)|\"[^\"]{2,}\"|“[^”]{2,}”|«[^»]{2,}»|(?<!\w)'[^']{2,}'(?!\w)|`[^`]+`"
    r"|(?<=:)\s*\n.*\Z",
    re.DOTALL,
)
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*|\d[\d.,:/-]*|[?$€£%]")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][\w'-]+")
# "Great! ", "Okay, thanks. ": what was said before stays unsaid, what follows may not need it.
_REACTION = re.compile(r"\A[^.!?\n]{1,28}[.!]+\s+(?=\S)")
# "what are the ingredients?", "where is the link?": something that was spoken of.
_THE_THING = re.compile(r"\b(?:the|those|these|that|this) \w+(?: \w+)?\s*[?.!]*\Z")
_ASKS = {
    "what", "what's", "whats", "which", "who", "who's", "whos", "when", "when's", "where",
    "where's", "wheres", "why", "how", "is", "are", "was", "were", "will", "does", "do", "did",
    "has", "have", "can", "could", "should", "would", "whose", "whom", "am", "may", "please",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Words:
    """A prompt as the lexical features see it.

    Attributes:
        tokens: its words in lower case, quoted text left out.
        cues: cue → the words that spoke for it, in order of appearance.
        last: the words of the last sentence.
        opening: how many words stand in the first sentence; 0 where there is only one.
        sentences: how many there are.
        end: the last character.
    """

    tokens: tuple[str, ...]
    cues: Mapping[str, tuple[str, ...]]
    last: tuple[str, ...] = ()
    opening: int = 0
    sentences: int = 1
    end: str = ""


def _phrases(table: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for cue, listed in table.items():
        for phrase in listed.split("|"):
            found.setdefault(" ".join(phrase.split()), []).append(cue)
    return {phrase: tuple(cues) for phrase, cues in found.items()}


_ANYWHERE = _phrases(ANYWHERE)
_OPENING = _phrases(OPENING)
_POLITE_SET = frozenset(_POLITE)


def _lengths(phrases: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[int, ...]]:
    """First word → how many words the phrases have that begin with it, longest first."""
    found: dict[str, set[int]] = {}
    for phrase in phrases:
        words = phrase.split()
        found.setdefault(words[0], set()).add(len(words))
    return {word: tuple(sorted(lengths, reverse=True)) for word, lengths in found.items()}


_ANYWHERE_LENGTHS = _lengths(_ANYWHERE)
_OPENING_LENGTHS = _lengths(_OPENING)

_SHAPES = (
    "words_1", "words_2", "words_3_4", "words_5_8", "words_9_20", "words_21", "words_50",
    "question_mark", "quote", "number", "money", "name", "colon", "lines", "polite",
    "later_sentence", "reaction", "statement", "the_thing",
)  # fmt: skip
_BOTH = (
    ("mine", "advice"), ("asker", "advice"), ("my_state", "advice"), ("product", "advice"),
    ("order", "mine"), ("order", "points_back"), ("now", "writing"), ("product", "trouble"),
    ("product", "mine"), ("changing", "who"), ("changing", "now"), ("reply", "question_mark"),
    ("asker", "trouble"), ("under_way", "is_it"), ("measured", "is_it"), ("measured", "what"),
    ("mine", "trouble"), ("made_up", "advice"), ("made_up", "chance"), ("made_up", "writing"),
    ("polite", "order"), ("recent", "writing"), ("points_at_text", "colon"),
    ("points_at_text", "lines"), ("points_at_text", "quote"), ("writing", "points_back"),
    ("now", "how"), ("now", "what"), ("measured", "name"), ("quoted_price", "now"),
    ("code", "made_up"), ("code", "order"), ("code", "now"), ("in_general", "made_up"),
    ("advice", "trouble"), ("advice", "points_back"), ("closing", "asker"),
    ("reaction", "question_mark"), ("reaction", "name"), ("reaction", "points_back"),
    ("reply", "statement"), ("asker", "statement"), ("points_back", "statement"),
    ("assistant", "question_mark"), ("assistant", "now"), ("advice", "effect"),
    ("in_general", "how"), ("the_thing", "what"), ("the_thing", "how"), ("units", "how"),
    ("name", "what"), ("name", "who"),
)  # fmt: skip
_SHORT_CUES = (
    "points_back", "more_of_it", "talked", "reply", "asker", "what_about", "order", "the_thing",
    "closing", "statement",
)  # fmt: skip

# Every feature there is, in the order of the fitted weights.
FEATURES: tuple[str, ...] = (
    *ANYWHERE,
    *(f"first:{cue}" for cue in OPENING),
    *_SHAPES,
    *(f"{one}&{other}" for one, other in _BOTH),
    *(f"short:{cue}" for cue in _SHORT_CUES),
)
INDEX: Mapping[str, int] = {name: position for position, name in enumerate(FEATURES)}


def read(text: str) -> Words:
    """The words and cues of a prompt. Never raises.

    >>> words = read("What's the weather in Porto right now?")
    >>> words.cues["now"], words.cues["measured"]
    (('right now',), ('weather',))
    >>> "points_back" in read('translate "what is it" into Dutch').cues
    False
    """
    text = text[:LONGEST_TEXT].replace("’", "'").replace("‘", "'").strip()
    bare = _QUOTED.sub(" ", text)
    tokens = _WORD.findall(bare.lower())[:LONGEST]
    cues: dict[str, list[str]] = {}
    _anywhere(tokens, cues)
    start, polite = _start(tokens)
    if polite:
        cues["polite"] = [polite]
    for at in {0, start}:
        for phrase, names in _found(_OPENING, _OPENING_LENGTHS, tokens, at):
            for name in names:
                # A lone "text" or "order" is as often a noun; what is asked of whom is not said.
                if name != "order" or len(tokens) > 1:
                    cues.setdefault(f"first:{name}", []).append(phrase)
    _shape(text, bare, tokens, cues)
    parts = _SENTENCE.split(bare.strip())
    last = tuple(tokens) if len(parts) == 1 else tuple(_WORD.findall(parts[-1].lower())[:LONGEST])
    opening = 0 if len(parts) == 1 else len(_WORD.findall(parts[0]))
    return Words(
        tuple(tokens),
        {name: tuple(words) for name, words in cues.items()},
        last,
        opening,
        len(parts),
        text[-1:],
    )


def features(words: Words) -> list[int]:
    """Positions in ``FEATURES`` of what holds for these words; each counts once.

    >>> [FEATURES[i] for i in features(read("and the second one?"))][:3]
    ['talked', 'first:reply', 'words_3_4']
    """
    return sorted(INDEX[name] for name in words.cues if name in INDEX)


def grams(words: Words) -> Iterator[str]:
    """Words, pairs and triples with the ends marked, and the ends of words: what gets hashed."""
    tokens = ["<", *words.tokens, ">"]
    for position, token in enumerate(tokens):
        yield token
        if position:
            yield f"{tokens[position - 1]} {token}"
        if position > 1:
            yield f"{tokens[position - 2]} {tokens[position - 1]} {token}"
        if len(token) > 4:
            yield f"{token[:4]}*"
            yield f"*{token[-3:]}"


def _anywhere(tokens: list[str], cues: dict[str, list[str]]) -> None:
    for at, token in enumerate(tokens):
        if token not in _ANYWHERE_LENGTHS:
            continue
        for phrase, names in _found(_ANYWHERE, _ANYWHERE_LENGTHS, tokens, at):
            for name in names:
                spoke = cues.setdefault(name, [])
                # "right now" says what "now" says; the longer one is the better witness.
                if not any(phrase in longer for longer in spoke):
                    spoke.append(phrase)


def _found(
    phrases: Mapping[str, tuple[str, ...]],
    lengths: Mapping[str, tuple[int, ...]],
    tokens: list[str],
    at: int,
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The phrases that stand at that place, longest first."""
    if at >= len(tokens):
        return
    for length in lengths.get(tokens[at], ()):
        phrase = tokens[at] if length == 1 else " ".join(tokens[at : at + length])
        names = phrases.get(phrase)
        if names is not None:
            yield phrase, names


def _start(tokens: list[str]) -> tuple[int, str]:
    """Where the request begins, after its politeness, and that politeness."""
    at = 0
    for _ in range(4):
        for length in (4, 3, 2, 1):
            if at + length < len(tokens) and " ".join(tokens[at : at + length]) in _POLITE_SET:
                at += length
                break
        else:
            break
    return at, " ".join(tokens[:at])


def _shape(text: str, bare: str, tokens: list[str], cues: dict[str, list[str]]) -> None:
    """Cues that are no words: length, quotes, numbers, names, code; and cues that meet."""
    count = sum(1 for token in tokens if token[0] not in "?$€£%")
    bucket = (
        "words_1" if count <= 1 else "words_2" if count == 2 else "words_3_4" if count <= 4
        else "words_5_8" if count <= SHORT else "words_9_20" if count <= 20 else "words_21"
    )  # fmt: skip
    holds = {
        bucket: True,
        "words_50": count >= 50,
        "question_mark": "?" in text[-3:],
        "quote": len(bare) < len(text),
        "number": any(token[0].isdigit() for token in tokens),
        "money": any(mark in text for mark in "$€£"),
        "name": _NAME.search(bare) is not None,
        "colon": ":" in text,
        "lines": "\n" in text,
        # The cue of that name, by its marks.
        "code": "code" in cues or any(mark in text for mark in ("()", "{", "};", "==", "</", "->")),
        "later_sentence": ". " in text or "? " in text or "! " in text,
        "reaction": _REACTION.match(bare) is not None,
        "statement": "?" not in bare
        and bool(tokens)
        and tokens[0] not in _ASKS
        and not any(name in cues for name in ("first:order", "first:writing", "first:chance")),
        "the_thing": _THE_THING.search(bare.lower()) is not None,
    }
    for name, present in holds.items():
        if present:
            cues[name] = []
    for one, other in _BOTH:
        if _has(cues, one) and _has(cues, other):
            cues[f"{one}&{other}"] = []
    if count <= SHORT:
        for name in _SHORT_CUES:
            if _has(cues, name):
                cues[f"short:{name}"] = []


def _has(cues: Mapping[str, list[str]], name: str) -> bool:
    return name in cues or f"first:{name}" in cues
