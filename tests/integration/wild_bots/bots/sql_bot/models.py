import datetime as dt
import enum

from sqlalchemy import Column, DateTime, Enum, Float, ForeignKey, Integer, String, create_engine
from sqlalchemy.orm import declarative_base, relationship, sessionmaker

Base = declarative_base()
engine = create_engine("sqlite:///trades.db")
Session = sessionmaker(bind=engine)


class Status(enum.Enum):
    OPEN = "open"
    CLOSED = "closed"


class Trade(Base):
    __tablename__ = "trades"
    id = Column(Integer, primary_key=True)
    symbol = Column(String(20), index=True)
    side = Column(String(4))
    qty = Column(Float)
    entry = Column(Float)
    exit = Column(Float)
    status = Column(Enum(Status), default=Status.OPEN)
    opened = Column(DateTime, default=dt.datetime.now)
    orders = relationship("ExitOrder", back_populates="trade", cascade="all, delete-orphan")

    def __repr__(self):
        return f"<Trade {self.id} {self.symbol} {self.side} {self.qty} {self.status.value}>"


class ExitOrder(Base):
    __tablename__ = "exit_orders"
    id = Column(Integer, primary_key=True)
    trade_id = Column(Integer, ForeignKey("trades.id"))
    binance_id = Column(String(32))
    kind = Column(String(10))
    price = Column(Float)
    active = Column(Integer, default=1)
    trade = relationship("Trade", back_populates="orders")


Base.metadata.create_all(engine)
