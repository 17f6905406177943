"""The words that the vetoes know: what is filler, what carries polarity, which words are the same.

Hand-made and small on purpose. Every entry is a claim about English ("these two may be exchanged in
any question without changing its answer"), so an entry that is right only most of the time is not
here. Chosen by reading errors on one part of ``strict_pairs.tune`` and ``prompt_pairs.tune``; the
other part, which nobody read, measured the result (``training/calibrate_threshold.py``).

Languages other than English have no entries: there every word is content, and a word that differs
is a refusal.
"""

from __future__ import annotations

from collections.abc import Mapping

# Changes whenever a list or rule here, in ``align`` or in ``vetoes`` changes what is vetoed:
# calibrations are bound to it.
RULES = "2"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _pairs(text: str) -> frozenset[frozenset[str]]:
    """ "a/b c/d" as unordered pairs."""
    return frozenset(frozenset(pair.split("/")) for pair in text.split())


def _numbered(text: str, first: int = 0, step: int = 1) -> dict[str, int]:
    return {word: first + step * i for i, word in enumerate(text.split())}


def _groups(text: str) -> dict[str, str]:
    """Each word of a line mapped to the line's first word."""
    return {word: line.split()[0] for line in text.strip().splitlines() for word in line.split()}


# Contractions, after the scanner has taken the apostrophe (people leave it out anyway).
CONTRACTIONS: Mapping[str, tuple[str, ...]] = {
    **{
        aux + "nt": (aux, "not")
        for aux in _words("is are was were do does did has have had could would should must need")
    },
    "cant": ("can", "not"),
    "cannot": ("can", "not"),
    "wont": ("will", "not"),
    "aint": ("is", "not"),
    "nt": ("not",),
    "shant": ("shall", "not"),
    "unable": ("not", "able"),
    "im": ("i", "am"),
    "ive": ("i", "have"),
    "youre": ("you", "are"),
    "theyre": ("they", "are"),
    "theyve": ("they", "have"),
    "youve": ("you", "have"),
    "gonna": ("going", "to"),
    "wanna": ("want", "to"),
    "gotta": ("have", "to"),
    "whats": ("what", "is"),
    "wheres": ("where", "is"),
    "whos": ("who", "is"),
    "whens": ("when", "is"),
    "hows": ("how", "is"),
    "whys": ("why", "is"),
    "u": ("you",),
    "ur": ("your",),
    "r": ("are",),
}

# What may surround a question without being part of it. Replaced before anything is compared;
# longest first. The right side is what is left of it.
PHRASES: Mapping[tuple[str, ...], tuple[str, ...]] = {
    tuple(left.split()): tuple(right.split())
    for left, _, right in (
        line.partition("=")
        for line in """
        can you tell me
        could you tell me
        would you tell me
        will you tell me
        tell me
        can you
        could you
        would you
        will you
        do you know
        do you happen to know
        can you help me find out
        can you help me
        can you help
        could you help me
        help me find out
        help me understand
        help me
        find out
        inform me of
        inform me
        i want to know
        i wanted to know
        i would like to know
        i need to know
        i have to know
        i got to know
        i must know
        i wish to know
        i am needing to know
        i am wondering
        i was wondering
        i am curious
        i wonder
        let me know
        i have a question
        quick question
        in order to = to
        let us = let
        how do i go about = how
        how do you go about = how
        how would i go about = how
        how can i go about = how
        how do i = how
        how do you = how
        how do we = how
        how can i = how
        how can you = how
        how can we = how
        how can one = how
        how does one = how
        how would i = how
        how would you = how
        how could i = how
        how should i = how
        how to i = how
        how to = how
        walk me through how to = how
        what are the steps to = how
        what are the steps for = how
        what is the process for = how
        is it possible to = can i
        is it possible for me to = can i
        is there a way to = can i
        is there any way to = can i
        am i able to = can i
        am i allowed to = can i
        are you able to = can i
        is there any way i can = can i
        is there a way i can = can i
        not be able to = can not
        be able to = can
        am not able to = can not
        am i not able to = can not
        not able to = can not
        able to = can
        can not seem to = can not
        what do i do to = how
        what should i do to = how
        what do i need to do to = how
        how come = why
        what is the reason = why
        what is the reason for = why
        what is the reason that = why
        what are the reasons for = why
        for what reason = why
        what time = when
        at what time = when
        how many different = how many
        who is the person that = who
        who is the person who = who
        i want to
        i want
        i would like you to
        i would like you
        i want you to
        i need you to
        i would like to
        i would like
        i need to
        i need
        i got to
        i am trying to
        i am looking for
        i am looking to
        give me
        show me
        do i have to = must i
        do i need to = must i
        do we have to = must i
        a lot of = many
        lots of = many
        right now = now
        at the moment = now
        at present = now
        as well as = and
        as well = also
        all of = all
        top up = topup
        log in = login
        sign in = login
        sign up = signup
        set up = setup
        switch off = turn off
        shut off = turn off
        power off = turn off
        switch on = turn on
        power on = turn on
        united states of america = usa
        united states = usa
        u s = usa
        u k = uk
        united kingdom = uk
        new york city = nyc
        """.strip().splitlines()
    )
}

# Words that are never part of what is asked.
FILLER = _words("please pls plz kindly really actually basically hmm um uh uhh olly alexa siri")
# The same at the beginning or the end only ("well, how ..."; but "an oil well").
INTERJECTIONS = _words(
    """
    hi hello hey thanks thank ok okay oh well so just simply yeah yes yep yeap yup anyway also
    quickly sorry sir now currently presently
    """
)

# Grammar. What they do to the meaning is compared by vetoes of their own (negation, question,
# direction, tense, person).
FUNCTION = _words(
    """
    a an the this that these those some any there here it its
    i me my mine we our ours you your yours he him his she her hers they them their theirs
    one ones
    is are am was were be been being do does did doing have has had having will would shall should
    can could may might must going get got getting
    gotten whether
    of in on at to for from by with about into onto as and if then than that which who whom whose
    what where when why how
    """
)

# The commonest words of German, French, Spanish, Italian, Portuguese, Dutch, Polish and Swedish
# that are no English words, nor names or abbreviations that are common in English prompts.
OTHER_LANGUAGES = _words(
    """
    der das und ist nicht ich ein eine wie kann mein meine für mit auf wo wann warum zu im den dem
    le les des une est dans pour avec comment quel quelle où mon ma mes je peux puis du au aux ce
    el los las una unos por para con cómo como cuál cual qué dónde donde puedo del está
    gli uno che di è sono quale dove mio mia posso della del perché
    o uma é não como qual onde meu minha posso em para por
    het een niet ik mijn waar wanneer waarom voor zijn
    jak czy nie moje mój gdzie kiedy się
    och är inte jag hur mitt var när varför en ett
    """
)
# Stand inside a phrase without beginning another.
ARTICLES = _words("a an the this that these those some any my our your his her its their")

NEGATIONS = _words("not no never none nobody nothing neither nor without except unless")
NEGATING_PREPOSITIONS = _words("without except unless")

THIRD_PERSON: Mapping[str, str] = _groups(
    """
    he him his
    she her hers
    they them their theirs
    """
)
SECOND_PERSON = _words("you your yours")
FIRST_PERSON = _words("i me my mine we our ours")
# What only the asker can see: "this error" is not any error.
POINTING = _words("this these those")

# A text of so many content words says small things on purpose; there these must agree, too.
LONG = 8
SMALL = _words("i me mine we to from by with as about than who whom and into being been")
# In keywords ("trash can", "living will") these need not be grammar.
ODD = _words("can will may might must mine her his who being by as")
SMALL_FORMS: Mapping[str, str] = {"into": "to", "me": "i"}
ARTICLE_KINDS: Mapping[str, str] = _groups(
    """
    the my our your his her their its this that these those
    a an
    """
)

BEING = _words("is are was were")
# "do" is content as a second one ("what does it do?") or after "to" or a modal verb.
DOING = _words("do does did doing")
BEFORE_VERB = _words("to can could should would must will might may")
# At the end of a text these ask something of their own: "what is it for?".
DANGLING = _words("for about from")
# With one of these there is more than one statement that "not" could belong to.
CLAUSES = _words("and but or who that which if when where because while though although")

# "has" and "have" make a perfect, which stands for both the past and the present.
PAST = _words("was were did had could")
PRESENT = _words("is are am do does")
FUTURE = _words("will shall")
# In these questions the future asks something else than the present; in "how long will it take"
# it does not.
TENSED = _words("why who what") | frozenset({"yes/no", "is there"})
OBLIGATION = _words("should must ought shall")
ABILITY = _words("can could may might")

QUESTION_WORDS = _words("who whom whose when where why how which what")
# Asked beside another question ("who won, and when?") these still ask; the others only relate.
FURTHER_QUESTIONS = _words("when where why how")
# "how" and one of these is a question of its own kind.
HOW_KINDS = _words(
    "many much long often far old big tall high fast soon deep heavy wide late early"
)
# A text that begins with one of these asks for yes or no ("[tell me] whether it rains").
ASKING = PAST | PRESENT | FUTURE | OBLIGATION | ABILITY | _words("would has have if whether")

# Prepositions: what follows them has that place in a relation.
DIRECTIONS: Mapping[str, str] = _groups(
    """
    from
    to into onto
    than
    by
    of
    for
    with
    in
    on
    at
    as
    about
    """
)
# Places that exclude each other for one and the same thing: "from Rome" is not "to Rome". Others
# are exchanged freely ("on the app", "in the app").
OPPOSED = _pairs(
    """
    to/from to/by for/by of/by about/by about/to than/to than/by than/from and/to and/than in/with
    about/from for/from about/with with/from in/to at/to in/from at/from by/ about/ than/ from/
    """
)
AFTER_PRONOUN = FUNCTION | NEGATIONS | FILLER | INTERJECTIONS
# Units that are asked for in one another: "lbs in kg" is not "kg in lbs".
UNITS = _words(
    """
    kilogram gram pound ounce stone kilometer meter centimeter millimeter mile inch feet foot yard
    liter milliliter gallon cup pint hour minute sec day week month year dollar euro yen rupee usd
    eur gbp celsius fahrenheit kelvin c f kb mb gb tb byte bit degree percent
    """
)
# Units that convert exactly, by their base unit. Months are no number of days.
_CONVERTIBLE: Mapping[str, Mapping[str, float]] = {
    "second": {"second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600, "h": 3600,
               "day": 86_400, "week": 604_800},
    "month": {"month": 1, "year": 12, "yr": 12, "decade": 120, "century": 1200},
    "gram": {"milligram": 0.001, "mg": 0.001, "gram": 1, "g": 1, "kilogram": 1000, "kg": 1000},
    "meter": {"millimeter": 0.001, "mm": 0.001, "centimeter": 0.01, "cm": 0.01, "meter": 1, "m": 1,
              "kilometer": 1000, "km": 1000},
    "liter": {"milliliter": 0.001, "ml": 0.001, "liter": 1, "l": 1},
    "foot": {"inch": 1 / 12, "foot": 1, "yard": 3},
    "dollar": {"cent": 0.01, "dollar": 1},
}  # fmt: skip
MEASURES: Mapping[str, tuple[float, str]] = {
    word: (size, base) for base, units in _CONVERTIBLE.items() for word, size in units.items()
}
# Prepositions that only join a noun to another: "the weather in Rome" is "Rome weather".
JOINING = _words("of for in on at")
# Words that belong to a verb wherever they stand: "turn off the light", "turn the light off".
PARTICLES = _words("off up down out")
# Verbs that "on" belongs to, and words after which "may" is a month.
TAKES_ON = _words("turn turned turning put move moved go goes hold come log logged off")
BEFORE_MONTH = _words("in on by of since until this next last before after from to")
# "to" after these starts an infinitive, not a destination.
INFINITIVE = _words(
    "how want wants wanted need needs needed like have has had try trying able going used ought "
    "allowed possible way best supposed where what when whether required take takes took long"
)

# Opposites that people confuse and embeddings do not tell apart. Used to name the veto; the words
# would be left over in any case.
_ANTONYMS = """
enable/disable buy/sell before/after increase/decrease open/close start/stop begin/end on/off in/out
up/down left/right upper/lower top/bottom first/last max/min maximum/minimum most/least more/less
more/fewer high/low higher/lower highest/lowest big/small large/small bigger/smaller larger/smaller
long/short longer/shorter longest/shortest old/new older/newer older/younger oldest/youngest
hot/cold warm/cold fast/slow faster/slower early/late earlier/later good/bad better/worse best/worst
add/remove install/uninstall lock/unlock activate/deactivate encrypt/decrypt encode/decode
import/export upload/download send/receive deposit/withdraw borrow/lend lend/owe win/lose push/pull
show/hide accept/reject accept/decline allow/deny allow/block allow/forbid approve/reject
connect/disconnect subscribe/unsubscribe follow/unfollow freeze/unfreeze mute/unmute pass/fail
true/false yes/no always/never all/none all/some with/without inside/outside above/below over/under
input/output internal/external import/export even/odd positive/negative public/private
male/female man/woman boy/girl husband/wife mother/father son/daughter brother/sister king/queen
north/south east/west northern/southern eastern/western legal/illegal safe/unsafe safe/dangerous
possible/impossible common/rare cheap/expensive rich/poor empty/full heavy/light
dark/light dry/wet easy/hard simple/complex strong/weak hard/soft thick/thin wide/narrow
ascending/descending horizontal/vertical synchronous/asynchronous sync/async static/dynamic
lossy/lossless debit/credit inbound/outbound incoming/outgoing domestic/international
employer/employee lessor/lessee landlord/tenant buyer/seller teacher/student doctor/patient
cause/effect question/answer arrive/depart arrival/departure import/export gain/lose profit/loss
asset/liability turn-on/turn-off raise/lower rise/fall grow/shrink expand/collapse merge/split
include/exclude join/leave enter/exit create/delete keep/delete save/delete attach/detach
"""
ANTONYMS: frozenset[tuple[str, str]] = frozenset(
    pair
    for left, right in (entry.split("/") for entry in _ANTONYMS.split())
    if left != right
    for pair in ((left, right), (right, left))
)

NEGATING_PREFIXES = _words("un in im ir il dis non de re anti")

# One line, one meaning in every context that we could think of. Stems (``inflection.stem``) are
# taken of these words, so each is listed in its base form.
SYNONYMS: Mapping[str, str] = _groups(
    """
    buy purchase
    begin start commence
    picture photo photograph pic
    movie film
    mobile cellphone
    tv television
    bike bicycle
    kid child children
    mom mother mum mommy
    dad father daddy
    repair fix
    ad advertisement advert
    info information
    pc computer
    fridge refrigerator
    car automobile
    need require
    assist help
    reply answer
    mount mt
    versus vs
    doctor dr
    january jan
    february feb
    april apr
    august aug
    september sept sep
    october oct
    november nov
    december dec
    monday mon
    tuesday tue tues
    wednesday wed
    thursday thu thurs
    friday fri
    saturday sat
    sunday sun
    kilogram kg kilo kilogramme
    gram gramme
    pound lb lbs
    ounce oz
    kilometer km kilometre kms
    meter metre
    centimeter cm centimetre
    millimeter mm millimetre
    liter litre
    milliliter ml millilitre
    hour hr hrs
    minute mins
    color colour
    favorite favourite fav
    center centre
    organize organise
    organization organisation
    gray grey
    program programme
    license licence
    behavior behaviour
    neighbor neighbour
    flavor flavour
    theater theatre
    usa us
    javascript js
    typescript ts
    python py
    postgres postgresql
    kubernetes k8s
    phone telephone
    extra additional
    overseas abroad
    limitation restriction
    delete remove erase
    automatic auto
    kind type
    happen occur
    definition meaning define
    maximum max
    message msg
    mistake error
    reserve book
    reservation booking
    """
)

# Spellings that are wrong in only one way, and common.
MISSPELLINGS: Mapping[str, str] = {
    word: right
    for right, _, wrongs in (
        line.strip().partition(" ")
        for line in """
        separate seperate
        definitely definately definitly
        receive recieve
        their thier
        address adress
        account acount accout
        which wich
        because becuase cuz bcoz
        tomorrow tommorow tommorrow tomorow
        weather wether
        restaurant restaraunt resturant
        believe beleive
        government goverment
        transfer tranfer transfere
        beneficiary benificiary
        favorite favrite
        people ppl
        does dose
        calendar calender
        environment enviroment
        """.strip().splitlines()
    )
    for wrong in wrongs.split()
    for word in (wrong,)
}

# Real words that a typo could turn into each other.
NOT_TYPOS = _pairs(
    """
    desert/dessert united/untied martial/marital causal/casual planed/planned hoping/hopping
    taping/tapping scared/scarred staring/starring tiling/tilling filing/filling pining/pinning
    later/latter super/supper diner/dinner bating/batting griping/gripping stared/starred
    barred/bared matted/mated robing/robbing hosted/hoisted caning/canning
    """
)

NUMBER_WORDS: Mapping[str, int] = {
    **_numbered(
        """
        zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
        fifteen sixteen seventeen eighteen nineteen
        """
    ),
    **_numbered("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10),
}
MAGNITUDES: Mapping[str, int] = {
    "hundred": 100,
    "thousand": 1000,
    "million": 1_000_000,
    "billion": 1_000_000_000,
}
ORDINAL_WORDS: Mapping[str, str] = {
    "first": "1st",
    "second": "2nd",
    "third": "3rd",
    "fourth": "4th",
    "fifth": "5th",
    "sixth": "6th",
    "seventh": "7th",
    "eighth": "8th",
    "ninth": "9th",
    "tenth": "10th",
}


def phrase_index(
    phrases: Mapping[tuple[str, ...], tuple[str, ...]],
) -> dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]]:
    """Phrases by their first word, longest first."""
    index: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for left, right in sorted(phrases.items(), key=lambda item: -len(item[0])):
        index.setdefault(left[0], []).append((left, right))
    return index
