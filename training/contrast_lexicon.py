"""Words that contrast.py exchanges. Written for this project from general knowledge.

`SIBLINGS`: each line is a class; exchanging one member for another changes what is asked.
`OPPOSITES`: exchanging the two changes what is asked. `SYNONYMS`: exchanging changes nothing, in
the contexts that everyday prompts have. Everything is lower case; one line, one class, words
separated by commas.
"""

# ruff: noqa: E501, SIM905
# A class is one line, however long: that is what keeps the lists readable and comparable.

from __future__ import annotations


def _classes(text: str) -> list[list[str]]:
    return [[w.strip() for w in line.split(",")] for line in text.strip().splitlines()]


ENTITIES = _classes("""
france, germany, spain, italy, japan, china, india, brazil, canada, mexico, australia, egypt, russia, turkey, sweden, norway, poland, greece, portugal, argentina, chile, peru, kenya, nigeria, vietnam, thailand, indonesia, ireland, scotland, england, switzerland, austria, belgium, the netherlands, denmark, finland, south korea, pakistan, iran, iraq, israel, cuba, jamaica, haiti, colombia, ukraine
london, paris, berlin, madrid, rome, tokyo, beijing, new york, chicago, boston, seattle, dallas, houston, miami, denver, los angeles, san francisco, toronto, sydney, melbourne, dubai, moscow, mumbai, delhi, istanbul, lisbon, vienna, dublin, amsterdam, atlanta, philadelphia, phoenix, las vegas, portland, detroit
texas, california, florida, ohio, georgia, virginia, arizona, nevada, oregon, colorado, michigan, illinois, alabama, kansas, iowa, maine, vermont, utah, montana, hawaii, alaska, pennsylvania, new jersey, north carolina, tennessee
asia, africa, europe, south america, north america, antarctica
english, spanish, french, german, italian, chinese, japanese, korean, russian, arabic, portuguese, hindi, dutch, turkish, greek, latin, swedish
microsoft, google, apple, amazon, facebook, netflix, tesla, ford, toyota, honda, samsung, sony, intel, nvidia, ibm, nike, adidas, walmart, target, costco, starbucks, mcdonalds, disney, boeing, uber, delta, united airlines
windows, macos, linux, ubuntu, android
iphone, ipad, macbook, apple watch, galaxy
python, java, javascript, typescript, rust, ruby, php, kotlin, swift, golang, perl, matlab
postgres, mysql, sqlite, mongodb, redis, oracle
react, angular, vue, svelte, django, flask
docker, kubernetes, terraform, ansible, jenkins
excel, word, powerpoint, outlook, google docs, google sheets
chrome, firefox, safari, edge
visa, mastercard, american express, paypal, apple pay, google pay
usd, eur, gbp, jpy, aud, cad, chf, inr
ibuprofen, aspirin, paracetamol, acetaminophen, naproxen, metformin, insulin, warfarin, lisinopril, atorvastatin, amoxicillin, prednisone, sertraline, omeprazole
diabetes, asthma, cancer, flu, measles, malaria, tuberculosis, pneumonia, arthritis, anemia, eczema, migraine, hepatitis, hypertension
vitamin c, vitamin d, vitamin a, vitamin e, vitamin b12, iron, calcium, magnesium, zinc, potassium
heart, liver, kidney, lung, brain, stomach, skin, knee, shoulder, ankle, wrist, elbow
stocks, bonds, mutual funds, etfs, options, futures, treasury bills, gold, real estate, crypto
bitcoin, ethereum, dogecoin, litecoin, solana
mortgage, car loan, student loan, personal loan, credit card, home equity loan
checking account, savings account, brokerage account, retirement account, joint account
dog, cat, horse, cow, pig, sheep, goat, rabbit, snake, turtle, frog, lion, tiger, elephant, bear, wolf, whale, shark, dolphin, penguin, owl, eagle, parrot, hamster, chicken, duck, bee, spider
apple, banana, orange, lemon, mango, grape, strawberry, pineapple, peach, pear, avocado, tomato, potato, onion, carrot, spinach, broccoli, garlic
rice, pasta, bread, pizza, soup, salad, burger, sandwich, steak, chicken, fish, tofu, eggs, cheese, tacos, lasagna, curry
coffee, tea, milk, juice, water, beer, wine, soda
football, soccer, baseball, basketball, hockey, tennis, golf, cricket, rugby, volleyball
piano, guitar, violin, drums, flute, trumpet, saxophone
red, blue, green, yellow, black, white, purple, pink, brown, grey
hydrogen, helium, oxygen, nitrogen, carbon, copper, silver, mercury, sodium, chlorine, sulfur, lead, aluminum, uranium
mars, venus, jupiter, saturn, neptune, uranus, earth, the moon, the sun, pluto
physics, chemistry, biology, history, geography, economics, philosophy, psychology, math
lincoln, washington, jefferson, obama, clinton, bush, kennedy, reagan, nixon, roosevelt, truman
shakespeare, dickens, hemingway, tolstoy, austen, orwell, twain, poe
einstein, newton, darwin, galileo, tesla, edison, curie, hawking
mozart, beethoven, bach, chopin, vivaldi, elvis, madonna, michael jackson, bob dylan
mother, father, brother, sister, son, daughter, wife, husband, boss, neighbor, grandmother, uncle, friend
kitchen, bedroom, bathroom, living room, garage, basement, office
car, truck, motorcycle, bicycle, bus, train, plane, boat
passport, driver's license, visa, birth certificate, social security card
pin, password, username, email address, phone number, address, name
alarm, timer, reminder, meeting, calendar event, note
lights, heater, fan, tv, radio, oven, vacuum, coffee maker
gas, electric, water, internet, phone, cable
refund, replacement, exchange, discount, receipt, invoice
laptop, phone, tablet, monitor, keyboard, printer, router, camera
marketing, sales, finance, engineering, legal, support
""")

DATES = _classes("""
monday, tuesday, wednesday, thursday, friday, saturday, sunday
january, february, march, april, june, july, august, september, october, november, december
today, tomorrow, yesterday, tonight
morning, afternoon, evening, night
this week, last week, next week
this month, last month, next month
this year, last year, next year
spring, summer, fall, winter
daily, weekly, monthly, yearly, hourly
seconds, minutes, hours, days, weeks, months, years, decades
easter, christmas, thanksgiving, halloween
""")

UNITS = _classes("""
miles, kilometers, meters, feet, yards, inches, centimeters
pounds, kilograms, grams, ounces, tons
dollars, euros, pounds, yen, rupees, pesos
celsius, fahrenheit, kelvin
cups, tablespoons, teaspoons, liters, gallons, pints, quarts
acres, hectares, square miles
megabytes, gigabytes, terabytes
""")

ATTRIBUTES = _classes("""
population, capital, area, climate, currency, flag, national anthem, official language, gdp, president
height, weight, age, net worth, salary, birthday, religion, nationality, real name
width, length, depth, thickness, diameter
causes, symptoms, treatment, side effects, history, prevention, risk factors
price, size, color, warranty, weight, battery life
author, publisher, genre, ending, main character, theme
boiling point, melting point, density, atomic number, atomic mass
balance, credit limit, interest rate, routing number, account number, pin number, due date, minimum payment
wife, mother, father, brother, son, daughter, husband
advantages, disadvantages, definition, origin, purpose
ingredients, calories, cooking time, serving size
speed, range, cost, capacity
lyrics, singer, composer, title
founder, ceo, headquarters, revenue, stock price
""")

OPPOSITES = [
    tuple(pair)
    for pair in _classes("""
enable, disable
activate, deactivate
buy, sell
increase, decrease
increasing, decreasing
raise, lower
before, after
open, close
start, stop
begin, end
add, remove
install, uninstall
lock, unlock
block, unblock
subscribe, unsubscribe
connect, disconnect
import, export
upload, download
encrypt, decrypt
compress, decompress
freeze, unfreeze
hide, show
mute, unmute
send, receive
lend, borrow
deposit, withdraw
more, less
more, fewer
most, least
best, worst
highest, lowest
largest, smallest
biggest, smallest
longest, shortest
tallest, shortest
fastest, slowest
oldest, youngest
oldest, newest
hottest, coldest
richest, poorest
cheapest, most expensive
first, last
maximum, minimum
minimum, average
win, lose
won, lost
gain, lose
gain, loss
profit, loss
pros, cons
advantages, disadvantages
benefits, risks
hot, cold
hard, easy
hard, soft
high, low
long, short
old, new
rich, poor
safe, dangerous
legal, illegal
possible, impossible
public, private
incoming, outgoing
male, female
men, women
boys, girls
king, queen
adults, children
indoor, outdoor
inside, outside
above, below
over, under
up, down
left, right
turn on, turn off
turned on, turned off
switch on, switch off
lights on, lights off
with, without
early, late
earliest, latest
ascending, descending
accept, decline
approve, reject
accepted, declined
hire, fire
join, leave
arrive, depart
arrival, departure
north, south
east, west
northern, southern
eastern, western
domestic, international
online, in person
full time, part time
full, empty
wet, dry
raw, cooked
front, back
upgrade, downgrade
strengthen, weaken
expand, shrink
attack, defend
push, pull
positive, negative
employed, unemployed
married, single
asset, liability
bull, bear
call option, put option
long position, short position
fixed rate, variable rate
debit card, credit card
physical card, virtual card
type 1, type 2
acute, chronic
systolic, diastolic
viral, bacterial
hyper, hypo
inhale, exhale
prevent, cause
improve, worsen
ancient, modern
encourage, discourage
pass, fail
save, delete
create, delete
same day, next day
one way, round trip
pickup, delivery
gross, net
pre-tax, post-tax
simple interest, compound interest
vertical, horizontal
singular, plural
""")
]

SYNONYMS = _classes("""
buy, purchase
fix, repair
movie, film
big, large
biggest, largest
begin, start
cheap, inexpensive
cheapest, lowest-priced
car, automobile
quickly, fast
help, assist
get, obtain
need, require
want, would like
show me, display
tell me, let me know
tell me, give me
phone, telephone
cell phone, mobile phone
photo, picture
photos, pictures
doctor, physician
kids, children
job, occupation
earn, make
happen, occur
difference, distinction
reason, cause
main, primary
important, significant
method, way
currently, right now
tv, television
fridge, refrigerator
usa, united states
us dollars, usd
uk, united kingdom
weird, strange
sick, ill
shut down, power off
turn on, switch on
turn off, switch off
cancel, call off
set up, configure
find out, discover
look for, search for
located, situated
company, firm
lawyer, attorney
store, shop
vacation, holiday
apartment, flat
garbage, trash
trip, journey
error, failure
bug, defect
remove, delete
change, modify
create, make
explain, describe
write, compose
shorten, make shorter
summarize, give a summary of
summarize, sum up
list, enumerate
choose, pick
end, finish
refund, money back
cost, price
amount, quantity
approximately, about
often, frequently
also, as well
maximum, max
minimum, min
information, info
application, app
temperature, temp
kilometers, km
kilograms, kg
minutes, mins
hours, hrs
percent, %
versus, vs
without, with no
near me, nearby
ok, okay
can't, cannot
inside, within
wrong, incorrect
correct, right
answer, reply
forgot, don't remember
broken, not working
missing, lost
""")

QUESTION_FORMS = [
    [
        "how do i",
        "how can i",
        "how to",
        "what is the way to",
        "how should i",
        "how would i",
        "what do i have to do to",
    ],
    ["why is", "how come", "what is the reason that"],
    ["why does", "how come", "for what reason does"],
    ["can you", "could you", "would you"],
    ["can i", "am i able to", "is it possible for me to", "may i"],
    ["is it possible to", "can one", "can you"],
    ["i want to", "i would like to", "i'd like to", "i wish to", "i need to"],
    ["what is", "what's"],
    ["who is", "who's"],
    ["where is", "where's"],
    ["tell me", "please tell me", "can you tell me", "i want to know", "i need to know"],
]

REPHRASINGS = [
    (
        r"^(?:who wrote) (.+)$",
        [
            "who is the author of {0}",
            "{0} was written by whom",
            "author of {0}",
            "name the person who wrote {0}",
        ],
    ),
    (
        r"^(?:who invented) (.+)$",
        ["who is the inventor of {0}", "{0} was invented by whom", "inventor of {0}"],
    ),
    (
        r"^(?:who discovered) (.+)$",
        ["by whom was {0} discovered", "{0} was discovered by whom", "discoverer of {0}"],
    ),
    (
        r"^(?:who founded) (.+)$",
        ["who is the founder of {0}", "founder of {0}", "{0} was founded by whom"],
    ),
    (
        r"^(?:who directed) (.+)$",
        ["who is the director of {0}", "director of {0}", "{0} was directed by whom"],
    ),
    (
        r"^(?:when was) (.+) born$",
        [
            "what is the birth date of {0}",
            "{0} date of birth",
            "on what date was {0} born",
            "{0} birthday",
        ],
    ),
    (
        r"^(?:where was) (.+) born$",
        ["what is the birthplace of {0}", "{0} place of birth", "in which place was {0} born"],
    ),
    (
        r"^(?:when did) (.+) die$",
        ["what is the date of death of {0}", "{0} death date", "on what date did {0} die"],
    ),
    (
        r"^(?:what is|what's) the (\w+) of (.+)$",
        ["{1} {0}", "tell me the {0} of {1}", "what {0} does {1} have", "the {0} of {1} is what"],
    ),
    (r"^(?:how old is) (.+)$", ["what is the age of {0}", "{0} age", "what age is {0}"]),
    (r"^(?:how tall is) (.+)$", ["what is the height of {0}", "{0} height"]),
    (
        r"^(?:how far is) (.+) from (.+)$",
        ["what is the distance between {0} and {1}", "distance from {1} to {0}"],
    ),
    (
        r"^(?:where is) (.+) located$",
        ["what is the location of {0}", "{0} location", "in which place can {0} be found"],
    ),
    (
        r"^(?:how much does) (.+) cost$",
        ["what is the price of {0}", "{0} price", "what does {0} cost"],
    ),
    (
        r"^(?:how many people live in) (.+)$",
        ["what is the population of {0}", "{0} population", "number of inhabitants of {0}"],
    ),
    (r"^(?:what does) (.+) mean$", ["what is the meaning of {0}", "{0} meaning", "define {0}"]),
    (r"^(?:what year did) (.+)$", ["in which year did {0}", "in what year did {0}"]),
    (
        r"^(?:what kind of|what type of) (.+)$",
        ["which kind of {0}", "which type of {0}", "what sort of {0}"],
    ),
    (
        r"^(?:how long does it take to) (.+)$",
        [
            "how much time does it take to {0}",
            "time needed to {0}",
            "how much time is needed to {0}",
        ],
    ),
    (
        r"^(?:how many) (.+) are there in (.+)$",
        ["what is the number of {0} in {1}", "number of {0} in {1}", "{1} has how many {0}"],
    ),
    (r"^(?:why is my) (.+)$", ["what is the reason my {0}", "how come my {0}"]),
    (
        r"^(?:do i have to) (.+)$",
        ["must i {0}", "am i required to {0}", "is it necessary for me to {0}"],
    ),
    (
        r"^(?:can i) (.+)$",
        ["is it possible to {0}", "am i allowed to {0}", "would i be able to {0}"],
    ),
    (
        r"^(?:what are the benefits of) (.+)$",
        ["how is {0} beneficial", "why is {0} good", "benefits of {0}", "{0} benefits"],
    ),
    (
        r"^(?:write) (.+)$",
        ["please write {0}", "i need you to write {0}", "could you write {0}", "compose {0}"],
    ),
    (
        r"^(?:explain) (.+)$",
        ["give an explanation of {0}", "can you explain {0}", "help me understand {0}"],
    ),
    (r"^(?:set) (.+)$", ["please set {0}", "i want you to set {0}", "could you set {0}"]),
]

POLITE_FRONT = [
    "please",
    "hi,",
    "hello,",
    "hey,",
    "can you tell me",
    "i was wondering,",
    "quick question:",
    "could you help me:",
    "i'd like to know",
    "do you know",
    "tell me,",
    "excuse me,",
    "hey there,",
    "sorry to bother you,",
    "just curious,",
    "i have a question:",
    "please tell me",
    "so",
    "um,",
]
POLITE_BACK = [
    "please",
    "thanks",
    "thank you",
    "thx",
    "?",
    "exactly",
    "please and thank you",
    "asap",
    "many thanks",
    "pls",
    "cheers",
    "i want to know",
    "help",
]

CONTRACTIONS = [
    ("what is", "what's"),
    ("who is", "who's"),
    ("where is", "where's"),
    ("how is", "how's"),
    ("i am", "i'm"),
    ("i have", "i've"),
    ("i would", "i'd"),
    ("do not", "don't"),
    ("does not", "doesn't"),
    ("did not", "didn't"),
    ("is not", "isn't"),
    ("are not", "aren't"),
    ("was not", "wasn't"),
    ("cannot", "can't"),
    ("can not", "can't"),
    ("will not", "won't"),
    ("it is", "it's"),
    ("that is", "that's"),
    ("have not", "haven't"),
    ("has not", "hasn't"),
    ("should not", "shouldn't"),
    ("could not", "couldn't"),
    ("you are", "you're"),
    ("let us", "let's"),
    ("going to", "gonna"),
    ("want to", "wanna"),
    ("you", "u"),
    ("your", "ur"),
    ("are", "r"),
    ("because", "cuz"),
    ("to", "2"),
    ("for", "4"),
    ("please", "plz"),
]

NEGATIONS = [
    ("can i", "can't i"),
    ("can", "cannot"),
    ("should i", "should i not"),
    ("should", "should not"),
    ("is", "is not"),
    ("are", "are not"),
    ("does", "does not"),
    ("do", "do not"),
    ("did", "did not"),
    ("how to", "how not to"),
    ("works", "does not work"),
    ("will", "will not"),
    ("have", "do not have"),
    ("was", "was not"),
    ("were", "were not"),
    ("has", "has no"),
    ("to", "not to"),
    ("allowed", "not allowed"),
]

TENSES = [
    ("is", "was"),
    ("are", "were"),
    ("does", "did"),
    ("will", "did"),
    ("current", "former"),
    ("current", "next"),
    ("who is", "who was"),
    ("will be", "was"),
    ("have i", "will i"),
    ("plays", "played"),
    ("lives", "lived"),
    ("new", "previous"),
]

PERSONS = [
    ("my", "my wife's"),
    ("my", "your"),
    ("my", "his"),
    ("my", "my son's"),
    ("my", "our"),
    ("my", "someone else's"),
    ("i", "my son"),
    ("i", "we"),
    ("your", "my"),
    ("his", "her"),
    ("me", "my brother"),
    ("our", "their"),
    ("my", "my company's"),
    ("i", "my employee"),
]

QUESTION_WORDS = [
    ("how do i", "why do i"),
    ("how do i", "when do i"),
    ("how do i", "where do i"),
    ("how do i", "do i have to"),
    ("how can i", "when can i"),
    ("how can i", "why can i"),
    ("can i", "why can i"),
    ("can i", "when can i"),
    ("can i", "must i"),
    ("can i", "should i"),
    ("when was", "where was"),
    ("where was", "when was"),
    ("when did", "where did"),
    ("when did", "why did"),
    ("where did", "when did"),
    ("why is", "is"),
    ("why did", "how did"),
    ("why did", "when did"),
    ("who", "when"),
    ("how many", "which"),
    ("how many", "what kind of"),
    ("how much", "how often"),
    ("how long", "how often"),
    ("how long", "how much"),
    ("how often", "how long"),
    ("what is", "where is"),
    ("what is", "who invented"),
    ("what are", "where are"),
    ("where is", "what is"),
    ("where is", "how big is"),
    ("how old is", "how tall is"),
    ("how big is", "how old is"),
    ("why does", "how does"),
    ("how does", "when does"),
    ("why", "how often"),
    ("set", "cancel"),
    ("what", "whose"),
    ("where", "when"),
    ("when", "how"),
]

MODIFIERS = {
    "scope": [
        "for free",
        "for beginners",
        "for kids",
        "for seniors",
        "in the world",
        "of all time",
        "only",
        "in europe",
        "in the us",
        "on average",
        "per capita",
        "for the first time",
        "at home",
        "online",
        "for a small business",
        "in theory",
        "step by step for experts",
        "on weekends",
    ],
    "condition_exception": [
        "if i am under 18",
        "if i lost it",
        "without an account",
        "while abroad",
        "except on sundays",
        "unless it is raining",
        "if it was a gift",
        "without a receipt",
        "when pregnant",
        "after surgery",
        "if i have no internet",
        "in case of an emergency",
        "except the first one",
        "without using an app",
        "if the card is expired",
        "when it is frozen",
        "on an empty stomach",
        "for more than a year",
    ],
    "location": [
        "in california",
        "in canada",
        "in germany",
        "in india",
        "in london",
        "near the airport",
        "in texas",
        "in japan",
        "in space",
        "in brazil",
        "at the office",
    ],
    "date_time": [
        "in 1990",
        "in 2015",
        "last year",
        "next week",
        "yesterday",
        "before 1900",
        "in the 1960s",
        "tomorrow morning",
        "on monday",
        "during world war ii",
        "at 5 pm",
        "since 2020",
    ],
    "format_length": [
        "in one sentence",
        "in 500 words",
        "as a table",
        "as bullet points",
        "in spanish",
        "as a poem",
        "in json",
        "for a five year old",
        "in formal language",
        "with examples",
        "without any examples",
        "in french",
    ],
    "subset_superset": [
        "and how much it costs",
        "and why",
        "and when",
        "and its history",
        "and the alternatives",
        "and who did it",
    ],
}

NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
).split()

ROLE_FRAMES: list[tuple[list[str], list[str]]] = [
    (
        [
            "how long is the flight from {a} to {b}",
            "flight time {a} to {b}",
            "flying from {a} to {b} takes how long",
            "how many hours to fly to {b} from {a}",
        ],
        ["city", "country"],
    ),
    (
        [
            "book a ticket from {a} to {b}",
            "i need a ticket to {b} from {a}",
            "get me from {a} to {b}",
            "{a} to {b} ticket please",
        ],
        ["city", "country"],
    ),
    (
        [
            "trains from {a} to {b} today",
            "which trains leave {a} for {b} today",
            "train times {a} to {b} today",
        ],
        ["city"],
    ),
    (
        [
            "translate this letter from {a} to {b}",
            "i have a letter in {a}, put it into {b}",
            "turn my {a} letter into {b}",
        ],
        ["language"],
    ),
    (
        [
            "how do you say thank you in {a} to someone who only speaks {b}",
            "thanking a {b} speaker in {a}",
        ],
        ["language"],
    ),
    (
        [
            "convert 20 {a} to {b}",
            "20 {a} in {b}",
            "how many {b} are 20 {a}",
            "express 20 {a} as {b}",
        ],
        ["unit"],
    ),
    (["how many {a} are in one {b}", "one {b} is how many {a}", "number of {a} per {b}"], ["unit"]),
    (
        [
            "migrate my data from {a} to {b}",
            "how do i move from {a} to {b}",
            "switching to {b} from {a}",
            "port data out of {a} into {b}",
        ],
        ["database", "framework", "os"],
    ),
    (
        [
            "rewrite this {a} function in {b}",
            "i have a function in {a}, i need it in {b}",
            "port a {a} function to {b}",
        ],
        ["code"],
    ),
    (
        [
            "call {a} code from {b}",
            "how can {b} call a function written in {a}",
            "use a {a} library in {b}",
        ],
        ["code"],
    ),
    (
        ["is {a} better than {b}", "does {a} beat {b}", "is {b} worse than {a}"],
        ["database", "framework", "phone", "company"],
    ),
    (
        [
            "is {a} bigger than {b}",
            "is {b} smaller than {a}",
            "does {a} have a larger size than {b}",
        ],
        ["country", "animal", "planet"],
    ),
    (
        [
            "why is {a} more expensive than {b}",
            "why does {a} cost more than {b}",
            "what makes {b} cheaper than {a}",
        ],
        ["food", "metal"],
    ),
    (
        ["did {a} invade {b}", "was {b} invaded by {a}", "has {b} ever been invaded by {a}"],
        ["country"],
    ),
    (
        [
            "when did {a} beat {b} in the final",
            "when was {b} beaten by {a} in the final",
            "the year {b} lost the final to {a}",
        ],
        ["country", "city"],
    ),
    (
        [
            "how much does {a} export to {b}",
            "exports from {a} to {b}",
            "how much does {b} import from {a}",
        ],
        ["country"],
    ),
    (["can {a} eat {b}", "is {b} ever eaten by {a}", "is {b} food for {a}"], ["animal"]),
    (["does {a} cause {b}", "is {b} caused by {a}", "can you get {b} because of {a}"], ["illness"]),
    (
        [
            "should i take {a} before {b}",
            "is {a} to be taken first and {b} second",
            "do i take {b} after {a}",
        ],
        ["drug"],
    ),
    (
        [
            "can i replace {a} with {b} in a recipe",
            "use {b} instead of {a} in a recipe",
            "is {b} a substitute for {a} in a recipe",
        ],
        ["food"],
    ),
    (
        [
            "transfer money from my {a} to my {b}",
            "move funds out of my {a} into my {b}",
            "put money from the {a} into the {b}",
        ],
        ["account"],
    ),
    (["did {a} buy {b}", "was {b} bought by {a}", "has {b} been acquired by {a}"], ["company"]),
    (["how do i send money from {a} to {b}", "sending money to {b} out of {a}"], ["country"]),
    (
        [
            "my {a} owes my {b} 50 dollars, who pays",
            "my {b} is owed 50 dollars by my {a}, who pays",
        ],
        ["person"],
    ),
    (
        ["write a letter from my {a} to my {b}", "i need a letter to my {b} written by my {a}"],
        ["person"],
    ),
    (["did my {a} call my {b}", "was my {b} called by my {a}"], ["person"]),
    (
        [
            "change my appointment from {a} to {b}",
            "move the {a} appointment to {b}",
            "my appointment is on {a}, make it {b}",
        ],
        ["day"],
    ),
    (["who taught {a} before {b}", "whoever was the teacher of {a} earlier than {b}"], ["science"]),
    (
        [
            "what is the exchange rate from {a} to {b}",
            "{a} to {b} rate",
            "how many {b} do i get for one {a}",
        ],
        ["currency"],
    ),
]
"""Forms that ask the same; exchanging a and b asks something else. With the classes that fit."""

SYMMETRIC_FRAMES: list[tuple[list[str], list[str]]] = [
    (
        [
            "how far is {a} from {b}",
            "distance between {a} and {b}",
            "what is the distance from {a} to {b}",
        ],
        ["city", "country"],
    ),
    (
        [
            "what is the difference between {a} and {b}",
            "{a} vs {b}, what differs",
            "how do {a} and {b} differ",
        ],
        ["database", "framework", "phone", "drug", "illness", "food", "animal", "account", "code"],
    ),
    (
        ["compare {a} and {b}", "{a} compared with {b}", "give me a comparison of {a} and {b}"],
        ["code", "os", "company", "country", "city"],
    ),
    (
        ["which is bigger, {a} or {b}", "is {a} or {b} bigger"],
        ["country", "animal", "planet", "city"],
    ),
    (
        [
            "can i take {a} and {b} together",
            "is it safe to combine {a} with {b}",
            "mixing {a} and {b}",
        ],
        ["drug"],
    ),
    (["do {a} and {b} share a border", "is there a border between {a} and {b}"], ["country"]),
    (
        ["schedule a meeting with my {a} and my {b}", "set up a meeting of my {a} and my {b}"],
        ["person"],
    ),
    (
        ["what do {a} and {b} have in common", "similarities of {a} and {b}"],
        ["country", "animal", "code", "company", "science"],
    ),
]
"""As `ROLE_FRAMES`, where exchanging a and b changes nothing."""


def _class_of(member: str, classes: list[list[str]]) -> list[str]:
    return next(words for words in classes if member in words)


FILLERS = {
    "city": _class_of("london", ENTITIES),
    "country": _class_of("france", ENTITIES),
    "language": _class_of("english", ENTITIES),
    "company": _class_of("microsoft", ENTITIES),
    "os": _class_of("windows", ENTITIES),
    "code": _class_of("python", ENTITIES),
    "database": _class_of("postgres", ENTITIES),
    "framework": _class_of("react", ENTITIES),
    "currency": _class_of("usd", ENTITIES),
    "drug": _class_of("ibuprofen", ENTITIES),
    "illness": _class_of("diabetes", ENTITIES),
    "account": _class_of("checking account", ENTITIES),
    "animal": _class_of("dog", ENTITIES),
    "food": _class_of("apple", ENTITIES),
    "planet": _class_of("mars", ENTITIES),
    "science": _class_of("einstein", ENTITIES),
    "person": _class_of("mother", ENTITIES),
    "day": _class_of("monday", DATES),
    "unit": UNITS[0] + UNITS[1],
    "metal": ["gold", "silver", "copper", "platinum", "titanium"],
    "phone": ["the iphone", "the pixel", "the galaxy", "a fairphone"],
}
